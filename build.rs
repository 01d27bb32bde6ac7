//! Gathers what each scenario reports (`scenarios/*/incident.yaml`), so that the HTTP API knows their names and targets without their
//! files. Run by cargo; the table is read by `src/api_server/scenarios.rs`.

use std::fmt::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("scenarios");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=scenarios");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&root)? {
        let path = entry?.path();
        let file = path.join("incident.yaml");
        if let (Some(name), true) = (path.file_name().and_then(|name| name.to_str()), file.is_file()) {
            found.push((name.to_owned(), std::fs::read_to_string(file)?));
        }
    }
    found.sort();
    let mut table = String::from("&[\n");
    for (name, text) in found {
        writeln!(table, "    ({name:?}, {text:?}),")?;
    }
    table.push(']');
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("scenarios.rs"), table)?;
    Ok(())
}
