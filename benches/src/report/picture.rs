// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pictures as SVG on white, which can be read on a light and on a dark page.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::table::number;
use crate::part::{Content, Plot};
use crate::rounds::Spread;

const WIDTH: u32 = 860;
const FONT: &str = "sans-serif";
/// Colours that differ for everybody's eyes (Okabe and Ito).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// Draws a picture into this folder.
pub fn draw(plot: &Plot, folder: &Path) -> Result<(), String> {
    let path = folder.join(format!("{}.svg", plot.file));
    let drawn = match &plot.content {
        Content::Bars(bars) => draw_bars(plot, bars, &path),
        Content::Lines(lines) => draw_lines(plot, lines, &path),
    };
    drawn.map_err(|e| format!("{}: {e}", path.display()))
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw_bars(plot: &Plot, bars: &[(String, Spread)], path: &Path) -> Drawn {
    const LABELS: i32 = 320;
    const TOP: i32 = 48;
    const STEP: i32 = 28;
    let height = TOP + STEP * bars.len() as i32 + 16;
    let area = SVGBackend::new(path, (WIDTH, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32, position: HPos| {
        TextStyle::from((FONT, size).into_font()).color(&BLACK).pos(Pos::new(position, VPos::Center))
    };
    let scale = if plot.log_x { format!("{} (logarithmic)", plot.x) } else { plot.x.clone() };
    area.draw(&Text::new(format!("{}, {scale}", plot.title), (16, 22), text(18, HPos::Left)))?;
    let most = bars.iter().map(|(_, value)| value.median).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(WIDTH as i32 - LABELS - 90);
    let length = |value: f64| match plot.log_x {
        // From one on; whatever is smaller has no length.
        true if most > 1.0 => (value.max(1.0).log10() / most.log10() * room) as i32,
        _ => (value / most * room) as i32,
    };
    for (place, (name, value)) in bars.iter().enumerate() {
        let y = TOP + STEP * place as i32;
        let (from, to) = (LABELS, LABELS + length(value.median).max(1));
        area.draw(&Text::new(name.clone(), (from - 8, y + STEP / 2), text(14, HPos::Right)))?;
        area.draw(&Rectangle::new([(from, y + 4), (to, y + STEP - 4)], COLOURS[0].filled()))?;
        area.draw(&Text::new(number(value.median), (to + 6, y + STEP / 2), text(14, HPos::Left)))?;
    }
    area.present()?;
    Ok(())
}

/// The least and the largest of some values, with room around them.
fn range(values: impl Iterator<Item = f64>, log: bool) -> std::ops::Range<f64> {
    let finite = values.filter(|v| v.is_finite() && (!log || *v > 0.0));
    let (least, most) = finite.fold((f64::MAX, f64::MIN), |(least, most), v| (least.min(v), most.max(v)));
    match (least <= most, log) {
        (false, _) => 0.1..1.0,
        (true, true) => least / 1.2..most * 1.2,
        (true, false) => least.min(0.0)..most * 1.05 + f64::MIN_POSITIVE,
    }
}

fn draw_lines(plot: &Plot, lines: &[(String, Vec<(f64, f64)>)], path: &Path) -> Drawn {
    let area = SVGBackend::new(path, (WIDTH, 460)).into_drawing_area();
    area.fill(&WHITE)?;
    let points = || lines.iter().flat_map(|(_, points)| points);
    let (mut x, y) = (range(points().map(|p| p.0), plot.log_x), range(points().map(|p| p.1), plot.log_y));
    if !plot.log_x {
        // What is along the bottom need not begin at nought.
        x.start = points().map(|p| p.0).fold(f64::MAX, f64::min).min(x.end / 2.0);
    }
    // Each pair of scales is a type of its own.
    macro_rules! chart {
        ($x:expr, $y:expr) => {{
            let mut chart = ChartBuilder::on(&area)
                .caption(&plot.title, (FONT, 18))
                .margin(14)
                .x_label_area_size(44)
                .y_label_area_size(70)
                .build_cartesian_2d($x, $y)?;
            chart
                .configure_mesh()
                .x_desc(&plot.x)
                .y_desc(&plot.y)
                .label_style((FONT, 14))
                .x_label_formatter(&|v| number(*v))
                .y_label_formatter(&|v| number(*v))
                .light_line_style(WHITE)
                .draw()?;
            for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
                let drawn = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
                chart
                    .draw_series(drawn)?
                    .label(name)
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .background_style(WHITE.mix(0.85))
                .border_style(BLACK.mix(0.3))
                .label_font((FONT, 14))
                .draw()?;
        }};
    }
    match (plot.log_x, plot.log_y) {
        (true, true) => chart!(x.log_scale(), y.log_scale()),
        (true, false) => chart!(x.log_scale(), y),
        (false, true) => chart!(x, y.log_scale()),
        (false, false) => chart!(x, y),
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_drawn_on_white() {
        let folder = std::env::temp_dir().join(format!("sipoauth-pictures-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let plot = |file: &str, log_x, log_y, content| Plot {
            file: file.into(),
            title: "A title".into(),
            x: "along".into(),
            y: "up".into(),
            log_x,
            log_y,
            content,
        };
        let bars =
            |values: &[f64]| Content::Bars(values.iter().map(|v| (format!("bar {v}"), Spread::exact(*v))).collect());
        let line = || Content::Lines(vec![("a line".into(), vec![(1.0, 2.0), (1000.0, 30.0)])]);
        let mut plots = vec![plot("log", true, false, bars(&[0.5, 8.0, 300.0])), plot("none", false, false, bars(&[]))];
        for (file, log_x, log_y) in [("tt", true, true), ("tf", true, false), ("ft", false, true), ("ff", false, false)]
        {
            plots.push(plot(file, log_x, log_y, line()));
        }
        for plot in &plots {
            draw(plot, &folder).unwrap();
            let text = std::fs::read_to_string(folder.join(format!("{}.svg", plot.file))).unwrap();
            assert!(text.contains("fill=\"#FFFFFF\"") && text.contains("A title"), "{}", plot.file);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
