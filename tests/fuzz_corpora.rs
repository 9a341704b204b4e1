//! Every input of the fuzz targets' corpora, through what the targets run: no fault that was found and mended comes back.
//!
//! `tests/fuzz/run` is what finds new ones.

use std::fs;
use std::path::PathBuf;

#[path = "fuzz/targets/mod.rs"]
mod targets;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<_> = files
        .map(|file| file.expect("a file").path())
        .map(|path| (path.clone(), fs::read(path).expect("a file that can be read")))
        .collect();
    found.sort();
    found
}

#[test]
fn what_was_found_once_is_found_no_more() {
    let mut found = Vec::new();
    for (target, run) in targets::ALL {
        let corpus = corpus(target);
        assert!(corpus.len() >= 5, "the corpus of {target} has {} inputs", corpus.len());
        for (path, input) in corpus {
            if std::panic::catch_unwind(|| run(&input)).is_err() {
                found.push(format!("tests/fuzz/run {target} {}", path.display()));
            }
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A corpus is for everybody who clones this.
#[test]
fn the_corpora_are_small_and_say_nothing_of_this_machine() {
    for (target, _) in targets::ALL {
        let corpus = corpus(target);
        let bytes: usize = corpus.iter().map(|(_, input)| input.len()).sum();
        assert!(
            corpus.len() <= 64 && bytes <= 200 * 1024,
            "{target}: {} inputs, {bytes} bytes",
            corpus.len()
        );
        let here = env!("CARGO_MANIFEST_DIR").as_bytes();
        for (path, input) in corpus {
            assert!(!input.windows(here.len()).any(|part| part == here), "{}: a path", path.display());
        }
    }
}

/// Messages have a format that changes: inputs that are no messages any more find nothing. `RF_UPDATE_CORPUS=1` writes
/// those anew of which this knows what they hold.
#[test]
fn the_corpora_of_messages_are_of_this_format() {
    let corpora = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let is_update = std::env::var_os("RF_UPDATE_CORPUS").is_some();
    if is_update {
        // Tasks with relative paths say where they were made.
        std::env::set_current_dir("/").expect("a root");
    }
    let is_of_its_kind = |target: &str, input: &[u8]| match target {
        "message" => targets::is_message(input),
        _ => targets::is_reply(input),
    };
    for (target, seeds) in [("message", targets::message_seeds()), ("reply", targets::reply_seeds())] {
        for (name, input) in seeds {
            let path = corpora.join(target).join(name);
            if is_update {
                fs::create_dir_all(corpora.join(target)).expect("a folder");
                fs::write(&path, &input).expect("the corpus can be written");
            }
            let kept = fs::read(&path).unwrap_or_default();
            assert_eq!(
                is_of_its_kind(target, &kept),
                is_of_its_kind(target, &input),
                "{target}/{name} is of another format: RF_UPDATE_CORPUS=1 writes it anew"
            );
        }
    }
}
