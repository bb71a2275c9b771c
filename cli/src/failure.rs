// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a run ends before the proxy's final answer could be judged.

/// A sentence for people, and the exit code that goes with it.
#[derive(Debug)]
pub struct ToolFailure {
    /// The exit code.
    pub exit: u8,
    /// What is wrong, and what to do.
    pub sentence: String,
}

impl ToolFailure {
    /// A failure with an exit code of its own.
    pub fn new(exit: u8, sentence: impl Into<String>) -> ToolFailure {
        ToolFailure { exit, sentence: sentence.into() }
    }
}

/// The cause is wrong options, a file, the network, or an answer that lacks something it must have.
impl From<String> for ToolFailure {
    fn from(sentence: String) -> ToolFailure {
        ToolFailure::new(crate::EXIT_ERROR, sentence)
    }
}

impl From<&str> for ToolFailure {
    fn from(sentence: &str) -> ToolFailure {
        sentence.to_owned().into()
    }
}
