//! What else reads feeds, beside viewers: the recorder. A sink is a reader of a `Subscription` and never holds up a feed. It knows
//! neither sources nor HTTP.

mod outputs;
mod recorder;

pub use self::{
    outputs::{RecordOutputs, RecordTo, RecordedCounters},
    recorder::FeedRecorder,
};

#[cfg(test)]
mod tests;
