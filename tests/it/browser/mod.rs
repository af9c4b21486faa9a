//! The page of the example `editor` in a real browser, which nobody has taught anything: Chromium,
//! without a window.

mod editor;
mod recorder;
mod webdriver;
