// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints what all parts have measured, and writes `target/bench/results.json` and the pictures.
//! `--keep DATE` also writes `benches/RESULTS.md` and `benches/plots`.

use std::fs;
use std::path::Path;

use sipoauth_bench::part::{Part, folder};
use sipoauth_bench::report::{picture, table};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let keep = match &arguments[..] {
        [] => None,
        [option, date] if option == "--keep" => Some(date.as_str()),
        _ => {
            eprintln!("report: write nothing, or --keep DATE");
            std::process::exit(2);
        }
    };
    if let Err(error) = run(keep) {
        eprintln!("report: {error}");
        std::process::exit(1);
    }
}

fn run(keep: Option<&str>) -> Result<(), String> {
    let parts = Part::load_all()?;
    if parts.is_empty() {
        return Err("nothing has been measured yet: run make bench".into());
    }
    let text = format!("{}\n{}", table::ratios(&parts), table::figures(&parts));
    println!("{text}");
    let seconds: f64 = parts.iter().map(|part| part.seconds).sum();
    println!(
        "Measured in {seconds:.0} s.{}",
        if parts.iter().any(|p| p.quick) { " Few rounds: not to be quoted." } else { "" }
    );
    let json = serde_json::to_string_pretty(&parts).map_err(|e| e.to_string())?;
    write(&folder().join("results.json"), &json)?;
    for plot in parts.iter().flat_map(|part| &part.plots) {
        picture::draw(plot, &folder())?;
    }
    keep.map_or(Ok(()), |date| write_kept(&parts, &text, date))
}

fn write_kept(parts: &[Part], text: &str, date: &str) -> Result<(), String> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plots = benches.join("plots");
    fs::create_dir_all(&plots).map_err(|e| format!("{}: {e}", plots.display()))?;
    let mut pictures = String::new();
    for plot in parts.iter().flat_map(|part| &part.plots) {
        picture::draw(plot, &plots)?;
        pictures += &format!("![{}](plots/{}.svg)\n\n", plot.title, plot.file);
    }
    let quick = if parts.iter().any(|part| part.quick) { " With few rounds." } else { "" };
    let result = format!(
        "# Results of `make bench`\n\n{date}, {}.{quick} Medians, with the range of the middle half of the rounds.\n\n{text}\n{}\n",
        machine(),
        pictures.trim_end()
    );
    write(&benches.join("RESULTS.md"), &result)
}

fn write(path: &Path, content: &str) -> Result<(), String> {
    fs::write(path, content).map_err(|e| format!("{}: {e}", path.display()))
}

/// The processor, as the kernel calls it.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{cores} cores of {}", model.map_or("an unknown processor", |(_, name)| name.trim()))
}
