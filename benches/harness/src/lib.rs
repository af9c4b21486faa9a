//! Three kinds of figures for one piece of work, each the kind that can be trusted for its
//! question:
//!
//! - **instructions**, counted by callgrind: repeatable to a few per cent, on any machine. Each case
//!   runs in processes of its own, with two counts of repetitions; the difference is the work alone.
//! - **allocations**, counted: exact, so that a bench can assert them.
//! - **time**, as a ratio inside of one run: the cases of a table take turns, round by round, so that
//!   a noisy machine is as noisy for each of them. The figure is the median of the rounds.
//!
//! criterion and divan run one case after the other, and count neither instructions nor
//! allocations of the same work.
//!
//! A bench is a `main` that makes tables of [`Case`]s:
//!
//! ```no_run
//! use harness::{Bench, Case, Work};
//!
//! let mut bench = Bench::from_args("words");
//! bench.table(
//!     "upper case",
//!     [
//!         // The first case is what the others are compared with.
//!         Case::new("bytes", || {
//!             let prepare = || *b"word";
//!             Work::new(prepare, |mut word| { word.make_ascii_uppercase(); word })
//!         })
//!         .allocates(0),
//!         Case::new("text", || {
//!             Work::new(|| "word", |word| word.to_uppercase())
//!                 .checked(|output| assert_eq!(output, "WORD"))
//!         }),
//!     ],
//! );
//! bench.finish();
//! ```
//!
//! `cargo bench` measures, and prints a table in Markdown. After `--` it takes:
//!
//! | argument | |
//! |---|---|
//! | `--test` | runs each case a few times, for its checks and its count of allocations |
//! | `--json` | prints one line of JSON for each case instead of tables |
//! | `--quick` | leaves time out: instructions and allocations need no quiet machine |
//! | any other word | runs only what has it in the name of its table or case |

mod allocations;
mod bench;
mod case;
mod instructions;
mod report;
mod time;

pub use self::allocations::allocations_of;
pub use self::bench::Bench;
pub use self::case::{Case, Work, ready};
