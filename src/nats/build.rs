//! Writes the C header, and has the linker find the shared library of requests-futures.
//!
//! That library is linked, not its crate: there is one copy of it in a process. It need not be built before this one: what
//! the linker is shown is a library of that soname with the functions that `rf.rs` names, and nothing in them.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = here.join("../..");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for path in ["ffi.rs", "rf.rs", "header.h", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=RF_UPDATE_HEADER");

    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let mut functions = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(here.join("ffi.rs"))
        .generate()?
        .write(&mut functions);
    let header = fs::read_to_string(here.join("header.h"))?;
    let header = header.replace("@FUNCTIONS@", String::from_utf8(functions)?.trim());
    let generated = out.join("requests_futures_nats.h");
    fs::write(&generated, &header)?;
    println!("cargo:rustc-env=RF_GENERATED_HEADER={}", generated.display());
    if env::var_os("RF_UPDATE_HEADER").is_some() {
        fs::write(root.join("include/requests_futures_nats.h"), &header)?;
    }

    let major = env::var("CARGO_PKG_VERSION_MAJOR")?;
    let soname = format!("librequests_futures.so.{major}");
    let compiler = env::var_os("CC").unwrap_or_else(|| "cc".into());
    let functions = fs::read_to_string(here.join("rf.rs"))?;
    let named = functions.lines().filter_map(|line| line.trim_start().strip_prefix("pub fn rf_"));
    let named = named.filter_map(|rest| rest.split('(').next());
    let stub = out.join("stub.c");
    fs::write(&stub, named.map(|name| format!("void rf_{name}(void) {{}}\n")).collect::<String>())?;
    let made = Command::new(compiler)
        .args(["-shared", "-nostdlib"])
        .arg(format!("-Wl,-soname,{soname}"))
        .arg("-o")
        .arg(out.join("librequests_futures.so"))
        .arg(&stub)
        .status()?;
    if !made.success() {
        return Err("the compiler made no library".into());
    }
    println!("cargo:rustc-link-search=native={}", out.display());
    // No library brings it along: it is needed by what this crate becomes.
    for argument in ["-Wl,--no-as-needed", "-lrequests_futures"] {
        println!("cargo:rustc-link-arg={argument}");
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN:$ORIGIN/../lib:$ORIGIN/../../lib");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,librequests_futures_nats.so.{major}");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    Ok(())
}
