//! Compiles `proto/` without `protoc`: protox makes the descriptor set, from
//! which both the generated code and server reflection come.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let descriptors = protox::compile(
        [
            "resetd/v1/operation_service.proto",
            "resetd/v1/reset_service.proto",
        ],
        ["proto"],
    )?;
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
