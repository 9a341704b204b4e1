//! Every input of the fuzz targets' corpora, and many that differ from those a little, through what the targets run: no fault
//! that was found and mended comes back, and what a change has written gets inputs that nobody had in mind.
//!
//! `tests/fuzz/run` finds more: it looks for inputs that reach what none has reached.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use local_server::Random;

#[path = "fuzz/fuzz_targets/limit.rs"]
mod limit;
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

/// One of these, with a few changes.
fn changed(corpus: &[(PathBuf, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\t\n\r \"%&',-./09:;<=>?@[\\]_aA{}\x7f\x80\xbf\xc3\xe2\xf0\xff";
    let mut pick = |length: usize| random.below(length as u64 + 1) as usize;
    let mut input = corpus[pick(corpus.len() - 1)].1.clone();
    for _ in 0..=pick(3) {
        let at = pick(input.len());
        let end = at + pick((input.len() - at).min(64));
        let byte = if pick(1) == 0 { TELLING[pick(TELLING.len() - 1)] } else { pick(255) as u8 };
        match pick(6) {
            0 => input.insert(at, byte),
            1 => input.truncate(at),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, input[at..end].to_vec())),
            4 => {
                let other = &corpus[pick(corpus.len() - 1)].1;
                input.truncate(at);
                input.extend(&other[pick(other.len())..]);
            }
            5 if at < end => input[at] ^= 1 << pick(7),
            _ if at < end => input[at] = byte,
            _ => input.push(byte),
        }
    }
    input.truncate(8192);
    input
}

/// The inputs are always the same ones, so that who makes no mistake is not stopped by somebody else's.
#[test]
fn inputs_like_those_do_no_harm() {
    const INPUTS: usize = 20_000;
    let started = Instant::now();
    let mut found = Vec::new();
    for (number, (target, run)) in targets::ALL.into_iter().enumerate() {
        let (corpus, mut random) = (corpus(target), Random(number as u64));
        let until = Instant::now() + Duration::from_secs(10);
        let mut tried = 0;
        while tried < INPUTS && Instant::now() < until {
            let input = changed(&corpus, &mut random);
            tried += 1;
            if std::panic::catch_unwind(|| limit::within_a_second(run, &input)).is_err() {
                let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}.{tried}"));
                fs::write(&path, input).expect("a file");
                found.push(format!("tests/fuzz/run {target} {}", path.display()));
                break;
            }
        }
        println!("{target}: {tried} inputs");
    }
    println!("in {:?}", started.elapsed());
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
