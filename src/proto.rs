//! The messages and services that `proto/` declares, generated at build time.

#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code: its documentation is the proto's"
)]

tonic::include_proto!("resetd.v1");

/// The encoded descriptor set, comments included, that reflection serves.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
