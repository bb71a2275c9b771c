// SPDX-License-Identifier: MIT OR Apache-2.0

//! The sign-in page as a browser meets it: the real server, at the real authorization server of the test kit, or at one
//! that answers as told.

mod attacks;
mod browser;
mod chromium;
mod flow;
mod linphone;
mod scripted;
mod site;
mod support;
