#![no_main]

#[path = "../src/front_end.rs"]
mod front_end;
#[path = "../src/tree.rs"]
mod tree;

libfuzzer_sys::fuzz_target!(|data: &[u8]| front_end::run(data));
