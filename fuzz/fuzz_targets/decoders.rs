//! Every decoder; the first byte of the input says which.

#![no_main]

#[allow(
    dead_code,
    reason = "the seeds are for the runners that do not find them themselves"
)]
#[path = "../decoders.rs"]
mod decoders;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((&which, data)) = data.split_first() {
        decoders::ALL[usize::from(which) % decoders::ALL.len()].run(data);
    }
});
