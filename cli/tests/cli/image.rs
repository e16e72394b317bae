//! `tendmap map --svg`: the partitions as an image.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use roxmltree::{Document, Node};
use tendmap::client::{Client, Config};
use tendmap_testkit::{Cluster, add_namespace};

use crate::tool::Place;

/// A segment of three nodes with two namespaces; `bar` has 1366 holes.
fn published() -> (Place, Client) {
    let place = Place::new();
    let cluster = Cluster::new(3, 2);
    cluster.change(|map| {
        add_namespace(map, "bar", 1);
        let bar = map.namespaces_mut().iter_mut().find(|own| own.name.as_str() == "bar").unwrap();
        for at in (0..4096).step_by(3) {
            bar.partitions.set_holder(at, 0, None);
        }
    });
    let mut config = Config::shared(vec!["127.0.0.1:3000".parse().unwrap()], 0xA700_0000);
    config.shm_directory = place.path().into();
    config.tend_interval = Duration::from_millis(50);
    let client = Client::connect_with(config, cluster.source()).unwrap();
    (place, client)
}

fn rects(group: Node) -> usize {
    group.children().filter(|child| child.has_tag_name("rect")).count()
}

#[test]
fn h144_an_image_shows_what_the_map_holds() {
    let (place, client) = published();
    let answer = place.run(&["map", "--svg", "-"]);
    assert_eq!((answer.code(), answer.stderr()), (0, String::new()));
    let image = answer.stdout();
    let map = place.json(&["map", "--json"]);
    let document = Document::parse(&image).unwrap();
    let grids = document.descendants().filter(|node| node.attribute("class") == Some("grid"));
    let mut names = Vec::new();
    for grid in grids {
        let name = grid.attribute("data-namespace").unwrap();
        names.push(name);
        let partitions = map["namespaces"][name]["partitions"].as_array().unwrap();
        assert_eq!(partitions.len(), 4096);
        let groups: Vec<Node> = grid.children().filter(|child| child.has_tag_name("g")).collect();
        for group in &groups {
            let node = group.attribute("data-node");
            let of_node = partitions.iter().filter(|row| row[0].as_str() == node).count();
            assert_eq!(rects(*group), of_node, "{name} {node:?}");
        }
        assert_eq!(groups.iter().map(|group| rects(*group)).sum::<usize>(), 4096);
    }
    assert_eq!(names, ["bar", "test"]);
    assert!(image.contains("1366 holes") && image.contains("1366 partitions without a master"));
    // Nothing is loaded from elsewhere.
    assert!(!image.contains("href") && !image.contains("@import") && !image.contains("url("));
    client.close();
}

#[test]
fn h144_a_file_is_replaced_as_a_whole_or_stays() {
    let (place, client) = published();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let draw = |path: &Path| place.run(&["map", "--svg", path.to_str().unwrap()]);
    fs::write(file("old.svg"), "old").unwrap();
    fs::set_permissions(file("old.svg"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("old.svg", file("link.svg")).unwrap();
    for name in ["new.svg", "link.svg"] {
        let answer = draw(&file(name));
        assert_eq!((answer.code(), answer.stdout(), answer.stderr()), (0, "".into(), "".into()));
        let image = fs::read_to_string(file(name)).unwrap();
        assert!(image.starts_with("<svg ") && image.ends_with("</svg>\n"));
    }
    assert!(file("link.svg").is_symlink(), "the link stays");
    let mode = fs::metadata(file("old.svg")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 3, "no other file is left");

    for (path, wanted) in [
        (file("missing/a.svg"), "No such file or directory"),
        (folder.path().to_owned(), "it is a directory"),
        ("/proc/a.svg".into(), "can't write /proc/a.svg"),
    ] {
        let answer = draw(&path);
        assert_eq!(answer.code(), 6);
        assert!(answer.stderr().contains(wanted), "{}", answer.stderr());
    }
    assert_eq!(draw(Path::new("/dev/null")).code(), 0);
    assert_eq!(draw(Path::new("/dev/full")).code(), 6);
    let answer = place.run(&["map", "--json", "--svg", "-"]);
    assert_eq!(answer.code(), 2, "{}", answer.stderr());
    client.close();
    let answer = place.run(&["map", "--svg", file("new.svg").to_str().unwrap()]);
    assert_eq!(answer.code(), 3, "no segment: {}", answer.stderr());
    let kept = fs::read_to_string(file("new.svg")).unwrap();
    assert!(kept.ends_with("</svg>\n"), "the old image stays");
}

/// Draws an image in a browser; `None` if there is none.
fn browsed(folder: &Path, flag: &str, window: &str) -> Option<png::Shot> {
    let browsers = ["chromium", "chromium-browser", "google-chrome"];
    let browser = browsers.into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|found| found.status.success())
    })?;
    let shot = folder.join("shot.png");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", flag])
        .arg(format!("--window-size={window}"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}", folder.join("map.svg").display()))
        .output()
        .unwrap();
    assert!(shot.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(png::Shot::read(&shot))
}

/// What a browser shows. `.ci/deep browser` runs it, because browsers are large.
#[test]
#[ignore = "needs a browser"]
fn h144_a_browser_draws_holes_and_follows_light_and_dark() {
    let (place, client) = published();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.svg");
    assert_eq!(place.run(&["map", "--svg", path.to_str().unwrap()]).code(), 0);
    client.close();
    for (flag, back, text) in [
        ("--blink-settings=preferredColorScheme=1", [255, 255, 255], [27, 31, 36]),
        ("--force-dark-mode", [13, 17, 23], [230, 237, 243]),
    ] {
        let Some(shot) = browsed(folder.path(), flag, "1600,300") else {
            return tendmap_testkit::skipped("no browser here");
        };
        assert_eq!(shot.at(2, 2), back, "{flag}: the background");
        assert!(shot.count([10, 10, 400, 40], text) > 100, "{flag}: the cluster's name");
        // The first cells of the first namespace: a hole, then nodes 1 and 2.
        let cell = |number: usize| shot.at(28 + 40 + number * 12 + 1, 28 + 60 + 34 + 1);
        assert_eq!(cell(0), [209, 36, 47], "{flag}: a hole");
        assert_eq!((cell(1), cell(2)), ([255, 175, 0], [0, 175, 95]), "{flag}: nodes");
        // The sign of a hole: white on red.
        assert!(shot.count([68, 122, 79, 133], [255, 255, 255]) >= 4, "{flag}: its sign");
    }
}

/// Reads the pixels of a screenshot.
mod png {
    use std::path::Path;
    use std::process::Command;

    /// Pixels by line.
    pub struct Shot {
        width: usize,
        pixels: Vec<u8>,
    }

    impl Shot {
        /// Python's standard library knows zlib, which is all that a PNG needs.
        pub fn read(path: &Path) -> Shot {
            let out = path.with_extension("raw");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/png.py");
            let output = Command::new("python3").arg(script).arg(path).arg(&out).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let width = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
            Shot { width, pixels: std::fs::read(out).unwrap() }
        }

        pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
            let at = (y * self.width + x) * 3;
            self.pixels[at..at + 3].try_into().unwrap()
        }

        /// How many pixels of an area have a colour.
        pub fn count(&self, [left, top, right, bottom]: [usize; 4], colour: [u8; 3]) -> usize {
            let rows = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
            rows.filter(|&(x, y)| self.at(x, y) == colour).count()
        }
    }
}
