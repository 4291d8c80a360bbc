#![cfg_attr(fuzzing, no_main)]

apns_fuzz::fuzz_target!(proxy);
