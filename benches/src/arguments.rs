// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the programs of the benches are told.

use std::path::PathBuf;

/// `[--quick] [--before TREE]`
#[derive(Default)]
pub struct Arguments {
    /// Fewer rounds: to see that it works.
    pub quick: bool,
    /// A tree with another build, which is measured in the same run.
    pub before: Option<PathBuf>,
}

impl Arguments {
    /// Those of this process. The error says how `program` is used.
    pub fn read(program: &str) -> Result<Arguments, String> {
        let mut read = Arguments::default();
        let mut given = std::env::args().skip(1);
        while let Some(argument) = given.next() {
            match (argument.as_str(), given.len()) {
                ("--quick", _) => read.quick = true,
                ("--before", 1..) => read.before = given.next().map(PathBuf::from),
                _ => return Err(format!("usage: {program} [--quick] [--before TREE]")),
            }
        }
        Ok(read)
    }
}
