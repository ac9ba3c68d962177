//! The demo: the release program, run on the real data of `tools/demo-data`.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::failure::{Failure, Result};
use crate::places::Places;
use crate::shell::{self, Shell};

/// Builds the program and runs its demo, with a database in `dir` or in a temporary folder, which
/// is removed if all went well.
///
/// # Errors
///
/// [`Failure::Exit`] with the demo's exit code if that is not 0.
pub(crate) fn run(places: &Places, shell: &Shell, dir: Option<PathBuf>) -> Result<()> {
    let build = [
        "build",
        "--locked",
        "--release",
        "--package",
        "tidestone-cli",
    ];
    shell::run(shell.cargo().args(build))?;
    let program = places.target.join("release").join("tidestone");
    let data = places.checkout.join("tools").join("demo-data");
    let (dir, temporary) = match dir {
        Some(dir) => (
            std::path::absolute(&dir).map_err(Failure::at("use", &dir))?,
            false,
        ),
        None => {
            let dir = env::temp_dir().join(format!("tidestone-demo-{}", std::process::id()));
            fs::create_dir(&dir).map_err(Failure::at("make the folder of the demo", &dir))?;
            (dir, true)
        }
    };
    let mut demo = shell.command(program);
    demo.arg("demo")
        .arg("--data")
        .arg(data)
        .arg("--dir")
        .arg(&dir);
    let status = shell::status(&mut demo)?;
    if !status.success() {
        eprintln!(
            "xtask: the demo ended with {status}; its folder is {}",
            dir.display()
        );
        return Err(Failure::Exit(code(status)));
    }
    if temporary {
        fs::remove_dir_all(&dir).map_err(Failure::at("remove the folder of the demo", &dir))?;
    }
    Ok(())
}

/// The code to pass on; 1 for a program that a signal ended.
fn code(status: ExitStatus) -> u8 {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_passed_on() {
        let shell = Shell::new(env::temp_dir());
        for (script, expected) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 1)] {
            let status = shell::status(shell.command("sh").args(["-c", script])).unwrap();
            assert_eq!(code(status), expected, "{script}");
        }
    }
}
