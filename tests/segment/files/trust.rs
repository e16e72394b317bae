//! Which files are used: by their user, mode, kind and content.

use super::*;

#[test]
fn h29_a_new_segment_is_its_owners_alone() {
    let directory = directory();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{entry:?}");
    }
    drop(client);
    let mut shared = config(&directory);
    shared.shm_mode = 0o640;
    let client = Client::connect_with(shared, Cluster::new(2, 1).source()).unwrap();
    let path = client.status().unwrap().path.unwrap();
    assert_eq!(
        fs::metadata(path).unwrap().mode() & 0o777,
        0o640,
        "the mode does not depend on the umask"
    );
}

#[test]
fn h29_a_world_writable_file_is_refused() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    fs::set_permissions(place.segment(1), Permissions::from_mode(0o666)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Mode { found: 0o666, .. }), "{error}");
    let error = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap_err();
    assert!(matches!(error, ConnectError::Segment(SegmentError::Mode { .. })), "{error}");
}

#[test]
fn h128_a_file_that_its_group_may_write_is_refused_unless_allowed() {
    for mode in [0o660, 0o620, 0o664, 0o670] {
        let directory = directory();
        let place = place(&directory);
        orphan(&place);
        fs::set_permissions(place.segment(1), Permissions::from_mode(mode)).unwrap();
        let error = attach_error(&place);
        assert!(
            matches!(&error, SegmentError::GroupWrite { found, .. } if *found == mode),
            "{error}"
        );
        for wanted in ["SIGBUS", "0640", "shm_backend sysv", "shm_allow_group_write"] {
            assert!(error.to_string().contains(wanted), "{error} does not say {wanted}");
        }
        let refused = Client::connect_with(config(&directory), Cluster::new(2, 1).source());
        let error = refused.unwrap_err();
        assert!(matches!(error, ConnectError::Segment(SegmentError::GroupWrite { .. })), "{error}");
        Reader::attach(&Place { allow_group_write: true, ..place }).unwrap();
        let mut allowed = config(&directory);
        allowed.shm_allow_group_write = true;
        Client::connect_with(allowed, Cluster::new(2, 1).source()).unwrap();
    }
}

/// An access control list that lets another user write shows in the group's bits, which
/// are its mask.
#[test]
fn h128_an_access_control_list_that_lets_others_write_counts_as_group_write() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let none = u32::MAX;
    // Owner rw, user 12345 rw, group and others nothing, mask rw.
    let entries =
        [(1_u16, 6_u16, none), (2, 6, 12_345), (4, 0, none), (16, 6, none), (32, 0, none)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        list.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()));
        list.extend(id.to_le_bytes());
    }
    let name = "system.posix_acl_access";
    let flags = rustix::fs::XattrFlags::empty();
    if let Err(error) = rustix::fs::setxattr(place.segment(1), name, &list, flags) {
        tendmap_testkit::skipped(&format!("no access control lists here: {error}"));
        return;
    }
    assert!(matches!(attach_error(&place), SegmentError::GroupWrite { found: 0o660, .. }));
    Reader::attach(&Place { allow_group_write: true, ..place }).unwrap();
}

#[test]
fn h128_no_file_that_its_group_may_write_is_made_unless_allowed() {
    let directory = directory();
    let place = Place { mode: 0o660, ..place(&directory) };
    let refused = create(&place, 1, Capacity::DEFAULT, None);
    assert!(matches!(refused, Err(SegmentError::GroupWrite { found: 0o660, .. })), "{refused:?}");
    assert_eq!(files(&directory), 0);
    owner(&Place { allow_group_write: true, ..place }, 1, None);
}

#[test]
fn h128_an_owner_replaces_a_file_that_was_opened_to_its_group() {
    let directory = directory();
    for (allowed, generation) in [(true, 1), (false, 2)] {
        let mut config = config(&directory);
        config.shm_allow_group_write = allowed;
        let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
        let path = client.status().unwrap().path.unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        let tends = || client.status().unwrap().tends;
        let before = tends();
        tendmap_testkit::wait_until("three more passes are counted", || tends() > before + 3);
        tendmap_testkit::wait_until("the segment is kept or replaced", || {
            client.segment().identity().generation == generation
        });
        client.close();
    }
}

/// A fault in a mapping would kill this process.
#[test]
fn h127_what_the_library_lists_and_looks_at_may_be_cut_short() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let whole = fs::read(place.segment(1)).unwrap();
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for length in [0, 200, 4096, whole.len() as u64 - 4096] {
                    file.set_len(length).unwrap();
                    file.set_len(whole.len() as u64).unwrap();
                    file.write_all_at(&whole[..4096], 0).unwrap();
                }
            }
        });
        let (mut seen, mut failed) = (0, 0);
        for _ in 0..2000 {
            list(directory.path()).unwrap();
            match Reader::look(&place).map(|reader| (reader.map(), reader.status())) {
                Ok(_) => seen += 1,
                Err(_) => failed += 1,
            }
        }
        done.store(true, Ordering::Relaxed);
        assert!(seen > 0 && failed > 0, "{seen} reads were whole, {failed} failed");
    });
}

#[test]
fn h29_a_link_is_refused() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(place.segment(1), &elsewhere).unwrap();
    symlink(&elsewhere, place.segment(1)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Kind { found: "a symbolic link", .. }), "{error}");
}

/// Only root can give a file away. For other users `check_file` has a test of its
/// own.
#[test]
fn h29_another_users_file_is_refused_unless_configured() {
    let directory = directory();
    let mut place = place(&directory);
    orphan(&place);
    if !rustix::process::geteuid().is_root() {
        tendmap_testkit::skipped(
            "not root: the file keeps its user, so only the trusted case is tried",
        );
        Reader::attach(&place).unwrap();
        return;
    }
    std::os::unix::fs::chown(place.segment(1), Some(12_345), None).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Owner { found: 12_345, .. }), "{error}");
    place.owners = vec![11_111, 12_345];
    Reader::attach(&place).unwrap();
}

#[test]
fn h30_directories_and_pipes_at_the_name_are_refused() {
    let directory = directory();
    let place = place(&directory);
    fs::create_dir(place.segment(1)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Kind { found: "a directory", .. }), "{error}");
    fs::remove_dir(place.segment(1)).unwrap();
    // A pipe without a writer must not make the opener wait.
    let status = std::process::Command::new("mkfifo").arg(place.segment(1)).status().unwrap();
    assert!(status.success());
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Kind { found: "a pipe", .. }), "{error}");
}

#[test]
fn h30_garbage_and_cut_files_are_refused_with_the_reason() {
    let directory = directory();
    let place = place(&directory);
    fs::write(place.segment(1), b"planted").unwrap();
    fs::set_permissions(place.segment(1), Permissions::from_mode(0o600)).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Header { error: HeaderError::Short { found: 7 }, .. }));
    fs::write(place.segment(1), vec![b'x'; 100_000]).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Header { error: HeaderError::Magic, .. }), "{error}");
    fs::remove_file(place.segment(1)).unwrap();

    orphan(&place);
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length - 4096).unwrap();
    let error = attach_error(&place);
    let wanted = HeaderError::Length { found: length - 4096, wanted: length };
    assert!(matches!(&error, SegmentError::Header { error, .. } if *error == wanted), "{error}");
}

#[test]
fn h30_a_damaged_header_is_refused_and_rm_takes_force() {
    let directory = directory();
    let place = place(&directory);
    orphan(&place);
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    file.write_all_at(&[0xff], 33).unwrap();
    let error = attach_error(&place);
    assert!(matches!(error, SegmentError::Header { .. }), "{error}");
    assert_eq!(list(directory.path()).unwrap()[0].state, SegmentState::Damaged);
    assert!(matches!(remove(&place, false), Err(SegmentError::Header { .. })));
    remove(&place, true).unwrap();
    assert_eq!(files(&directory), 0);
}
