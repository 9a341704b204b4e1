//! Writes the C header from `src/ffi`, and tells the linker what a shared library of Linux needs.
//!
//! The header is generated into OUT_DIR. The one in `include` is what users get: a test compares the two, and
//! `RF_UPDATE_HEADER=1 cargo build` brings it up to date.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for path in ["src/ffi", "cbindgen.toml", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rerun-if-env-changed=RF_UPDATE_HEADER");

    let header = header(&root)?;
    let generated = out.join("requests_futures.h");
    fs::write(&generated, &header)?;
    println!("cargo:rustc-env=RF_GENERATED_HEADER={}", generated.display());
    if env::var_os("RF_UPDATE_HEADER").is_some() {
        fs::write(root.join("include/requests_futures.h"), &header)?;
    }

    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        let soname = format!("librequests_futures.so.{}", env::var("CARGO_PKG_VERSION_MAJOR")?);
        // Worker threads live in the library: dlclose must not take the code from under them.
        for argument in [format!("-Wl,-soname,{soname}"), "-Wl,-z,nodelete".into()] {
            println!("cargo:rustc-cdylib-link-arg={argument}");
        }
        link_soname(&out, &soname);
    }
    Ok(())
}

/// The chapter at the top, then one section for each file of `src/ffi`, in the order of its module list.
fn header(root: &Path) -> Result<String, Box<dyn Error>> {
    let folder = root.join("src/ffi");
    let mut header = fs::read_to_string(folder.join("chapter.h"))?;
    for (mark, variable) in [
        ("@MAJOR@", "CARGO_PKG_VERSION_MAJOR"),
        ("@MINOR@", "CARGO_PKG_VERSION_MINOR"),
        ("@PATCH@", "CARGO_PKG_VERSION_PATCH"),
        ("@VERSION@", "CARGO_PKG_VERSION"),
    ] {
        header = header.replace(mark, &env::var(variable)?);
    }
    let modules = fs::read_to_string(folder.join("mod.rs"))?;
    for module in modules.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
        let file = folder.join(format!("{module}.rs"));
        let source = fs::read_to_string(&file)?;
        let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
        config.export.include = types(&source);
        let mut section = Vec::new();
        cbindgen::Builder::new().with_config(config).with_src(&file).generate()?.write(&mut section);
        header.push('\n');
        header.push_str(&introduction(&source));
        header.push('\n');
        let section = String::from_utf8(section)?;
        let mut comment: Vec<&str> = Vec::new();
        for line in section.trim().lines() {
            if line.trim_start().starts_with("// ") {
                comment.push(line);
                continue;
            }
            header.push_str(&filled(&std::mem::take(&mut comment)));
            header.push_str(&wrapped(line));
            header.push('\n');
        }
    }
    header.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#endif // REQUESTS_FUTURES_H\n");
    Ok(header)
}

/// The types that a file defines: cbindgen would leave those out that no function of the same file names.
fn types(source: &str) -> Vec<String> {
    let named = source.lines().filter_map(|line| {
        ["pub enum ", "pub struct ", "pub type "].iter().find_map(|start| line.strip_prefix(start))
    });
    let names = named.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
    names.filter(|name: &String| name != "rf_callback_status").collect()
}

const WIDTH: usize = 114;

/// A comment whose lines are as long as they may be, wherever its source was wrapped.
fn filled(comment: &[&str]) -> String {
    let Some(first) = comment.first() else { return String::new() };
    let indent = &first[..first.len() - first.trim_start().len()];
    let mut done = String::new();
    let mut line = format!("{indent}//");
    for word in comment.iter().flat_map(|line| line.trim_start()[2..].split_whitespace()) {
        if line.len() + 1 + word.len() > WIDTH {
            done.push_str(&line);
            done.push('\n');
            line = format!("{indent}//");
        }
        line.push(' ');
        line.push_str(word);
    }
    done + &line + "\n"
}

/// A declaration in lines that fit on a screen.
fn wrapped(line: &str) -> String {
    let mut done = String::new();
    let mut rest = line.to_string();
    while rest.len() > WIDTH && !rest.trim_start().starts_with("//") {
        let Some(comma) = rest[..WIDTH].rfind(", ") else { break };
        done.push_str(&rest[..=comma]);
        done.push('\n');
        rest = format!("    {}", &rest[comma + 2..]);
    }
    done + &rest
}

/// A file's own documentation, as a comment of C.
fn introduction(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let text: Vec<&str> = lines.collect();
    let title = text[0].trim_start_matches("## ");
    let mut comment = format!("// ---- {title} {}\n", "-".repeat(100_usize.saturating_sub(title.len())));
    for line in &text[1..] {
        comment.push_str(format!("// {line}").trim_end());
        comment.push('\n');
    }
    comment
}

/// A program that links the library finds it at run time under its soname: a link of that name lies beside it.
/// Cargo has no place for such a file, so it goes where the library will appear: the folder of the profile.
fn link_soname(out: &Path, soname: &str) {
    #[cfg(unix)]
    if let Some(profile) = out.ancestors().nth(3) {
        for folder in [profile.to_path_buf(), profile.join("deps")] {
            // It may be there already. Where it cannot be made, whoever installs the library makes it.
            let _ = std::os::unix::fs::symlink("librequests_futures.so", folder.join(soname));
        }
    }
    #[cfg(not(unix))]
    let _ = (out, soname);
}
