// SPDX-License-Identifier: MIT OR Apache-2.0

//! Floods: what one sender, or many invented ones, can take away from others. One file per subject.

mod sources;
