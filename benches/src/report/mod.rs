// SPDX-License-Identifier: MIT OR Apache-2.0
//! The report of all parts: a table of the ratios, the figures, and pictures.

pub mod picture;
pub mod table;
