// SPDX-License-Identifier: MIT OR Apache-2.0
//! The results of one program of the benches: a JSON file in `target/bench/parts`, from which the report is made.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::rounds::Spread;

/// Everything that one program has measured.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Part {
    /// Its name, and the file's.
    pub name: String,
    /// Fewer rounds: to see that it works, not to quote.
    pub quick: bool,
    /// Seconds that it took.
    pub seconds: f64,
    /// Ratios to be reached.
    pub ratios: Vec<Ratio>,
    /// Plain figures, in the order in which they are to be read.
    pub figures: Vec<Figure>,
    /// Pictures.
    pub plots: Vec<Plot>,
}

/// A ratio with its goal.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ratio {
    /// Its number, with a letter where one number has several: "6a".
    pub id: String,
    /// What is divided by what.
    pub what: String,
    /// What was measured; None: it could not be, and `note` says why.
    pub measured: Option<Spread>,
    /// To be reached.
    pub goal: f64,
    /// Where it is to be.
    pub stretch: f64,
    /// The larger the better.
    pub more_is_better: bool,
    /// How it came about, or why it is not here.
    pub note: String,
}

/// A number, what is divided by what, goal and stretch.
pub struct Goal(pub &'static str, pub &'static str, pub f64, pub f64);

impl Goal {
    /// The smaller the better.
    pub fn at_most(self, measured: Option<Spread>, note: &str) -> Ratio {
        self.ratio(measured, false, note)
    }

    /// The larger the better.
    pub fn at_least(self, measured: Option<Spread>, note: &str) -> Ratio {
        self.ratio(measured, true, note)
    }

    fn ratio(self, measured: Option<Spread>, more_is_better: bool, note: &str) -> Ratio {
        let Goal(id, what, goal, stretch) = self;
        Ratio { id: id.into(), what: what.into(), measured, goal, stretch, more_is_better, note: note.into() }
    }
}

/// One figure.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Figure {
    /// A heading under which figures stand together.
    pub group: String,
    /// What it is of.
    pub name: String,
    /// Its value.
    pub value: Spread,
    /// `µs`, `octets`, …
    pub unit: String,
}

/// A picture.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plot {
    /// The file's name without ending.
    pub file: String,
    /// Its title.
    pub title: String,
    /// What is along the bottom.
    pub x: String,
    /// What is along the side.
    pub y: String,
    /// Powers of ten along the bottom.
    pub log_x: bool,
    /// Powers of ten along the side.
    pub log_y: bool,
    /// What is drawn.
    pub content: Content,
}

/// What a picture shows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Content {
    /// A bar for each name.
    Bars(Vec<(String, Spread)>),
    /// Lines with a name and points.
    Lines(Vec<(String, Vec<(f64, f64)>)>),
}

/// Where the results are: `target/bench` of the project.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches is in the project").join("target/bench")
}

impl Part {
    /// Writes the file.
    pub fn save(&self) -> Result<(), String> {
        let folder = folder().join("parts");
        let path = folder.join(format!("{}.json", self.name));
        let text = serde_json::to_string_pretty(self).map_err(|e| e.to_string())?;
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&path, text))
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads every part that is there.
    pub fn load_all() -> Result<Vec<Part>, String> {
        let folder = folder().join("parts");
        let entries = fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let read = |path: &PathBuf| {
            let text = fs::read(path).map_err(|e| e.to_string())?;
            serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()))
        };
        paths.iter().map(read).collect()
    }
}
