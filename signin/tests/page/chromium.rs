// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page in headless Chromium, with scripts and without.
