// SPDX-License-Identifier: MIT OR Apache-2.0
//! What Callgrind has counted in a proxy, by the object files in which the instructions are.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::proxies::process::Proxy;

/// A place, and the instructions there.
pub type Count = (String, f64);

/// Begins to count anew.
pub fn begin(proxy: &mut Proxy) -> Result<(), String> {
    proxy.wait_until_ready()
}

/// What the proxy has counted since [`begin`]. The largest counts come first.
pub fn counted(proxy: &mut Proxy, base: &Path) -> Result<Vec<Count>, String> {
    proxy.wait_until_ready()?;
    let path = newest(&base.join(proxy.name))?;
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut counts: Vec<Count> = read(&text).into_iter().filter(|(_, instructions)| *instructions > 0.0).collect();
    counts.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(counts)
}

/// The dump with the highest number. Only the worker writes any, because it alone handles messages.
fn newest(folder: &Path) -> Result<PathBuf, String> {
    let fail = |what: String| format!("{}: {what}", folder.display());
    let number = |path: &PathBuf| path.extension()?.to_str()?.parse::<u32>().ok();
    let files = fs::read_dir(folder).map_err(|e| fail(e.to_string()))?.flatten().map(|entry| entry.path());
    let dumps = files.filter(|path| path.file_stem().is_some_and(|stem| stem.to_string_lossy().contains('.')));
    let newest = dumps.filter_map(|path| Some((number(&path)?, path))).max();
    newest.map(|(_, path)| path).ok_or_else(|| fail("Callgrind has written nothing".into()))
}

/// Instructions by place. The format is that of the Callgrind manual: a name is given with its number once, and only the
/// number afterwards; the line after `calls=` counts what the called function did, which is counted there, too.
fn read(text: &str) -> BTreeMap<String, f64> {
    let (mut objects, mut functions) = (HashMap::new(), HashMap::new());
    let (mut object, mut function) = (String::new(), String::new());
    let (mut sums, mut is_call) = (BTreeMap::new(), false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = named(&mut objects, name);
        } else if let Some(name) = line.strip_prefix("cob=") {
            named(&mut objects, name);
        } else if let Some(name) = line.strip_prefix("fn=") {
            function = named(&mut functions, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            named(&mut functions, name);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(['+', '-', '*']) || line.starts_with(|first: char| first.is_ascii_digit()) {
            let instructions: f64 = line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0.0);
            if !std::mem::take(&mut is_call) {
                *sums.entry(place(&object, &function)).or_insert(0.0) += instructions;
            }
        }
    }
    sums
}

/// The name behind a number, or with it.
fn named(names: &mut HashMap<String, String>, text: &str) -> String {
    match text.split_once(' ') {
        Some((number, name)) => names.entry(number.to_owned()).or_insert_with(|| name.to_owned()).clone(),
        None => names.get(text).cloned().unwrap_or_else(|| text.to_owned()),
    }
}

fn place(object: &str, function: &str) -> String {
    let file = object.rsplit('/').next().unwrap_or(object);
    // ld-linux has the string functions that Valgrind puts in place of the C library's.
    match file {
        "auth_oauth.so" if function.to_ascii_lowercase().contains("sha256") => {
            "SHA-256 without instructions for it".into()
        }
        _ if file.starts_with("libc.so") || file.starts_with("vgpreload") => "libc".into(),
        "" | "???" => "other".into(),
        _ => file.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_instructions_count_by_object() {
        let text = "events: Ir\n\nob=(1) /x/kamailio\nfl=(1) a.c\nfn=(1) receive_msg\n10 5\n+2 7\ncob=(2) /y/auth_oauth.so\n\
             cfn=(2) check\ncalls=1 20\n12 1000\n* 1\n\nob=(2)\nfn=(2)\n20 30\nfn=(3) sha256_block\n5 400\n";
        let counts = read(text);
        let wanted = [("SHA-256 without instructions for it", 400.0), ("auth_oauth.so", 30.0), ("kamailio", 13.0)];
        assert_eq!(counts, wanted.map(|(place, count)| (place.to_owned(), count)).into());
    }
}
