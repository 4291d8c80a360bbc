//! Writes the schema of each push type into a folder: `cargo run -p apns-lint --example schemas apns-lint/schema`.

use std::path::PathBuf;
use std::{env, error::Error, fs};

use apns_proto::PushType;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::args_os().nth(1).ok_or("which folder?")?);
    fs::create_dir_all(&folder)?;
    for push_type in PushType::known() {
        if let Some(schema) = apns_lint::schema(&push_type) {
            fs::write(folder.join(format!("{push_type}.json")), format!("{schema:#}\n"))?;
        }
    }
    Ok(())
}
