//! What `tendmap.h` declares.

/// The declarations of a header, without comments and preprocessor lines, each on one
/// line.
pub fn declarations(header: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut code, mut depth, mut in_comment) = (String::new(), 0, false);
    for line in header.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        let skipped = in_comment || line.is_empty() || line.starts_with(['/', '#']);
        in_comment &= !line.ends_with("*/");
        // What C has of the types of enumerations, and of C++.
        if skipped || line.starts_with(": ") || line.starts_with("extern \"C\"") {
            continue;
        }
        if line.starts_with("}  // extern") {
            continue;
        }
        code += line;
        code.push(' ');
        depth += line.matches('{').count() as i32 - line.matches('}').count() as i32;
        if depth == 0 && line.ends_with(';') {
            let whole = code.split_whitespace().collect::<Vec<_>>().join(" ");
            found.push(whole.replace("( ", "(").trim_end_matches(';').to_owned());
            code.clear();
        }
    }
    assert!(code.is_empty(), "a declaration without an end: {code}");
    found
}

/// The functions: the name and the whole declaration.
pub fn functions(header: &str) -> Vec<(String, String)> {
    let is_type = |code: &str| code.starts_with("typedef") || code.starts_with("enum");
    let name = |code: &str| {
        let before = code.split_once('(').expect("a function has arguments").0;
        before.rsplit([' ', '*']).next().unwrap().to_owned()
    };
    let all = declarations(header).into_iter().filter(|code| !is_type(code));
    all.map(|code| (name(&code), code)).collect()
}

/// The structures with fields: the name, and the names of the fields.
pub fn structures(header: &str) -> Vec<(String, Vec<String>)> {
    let field = |text: &str| {
        let name = text.rsplit([' ', '*']).next().unwrap();
        name.split(['[', ')']).next().unwrap().to_owned()
    };
    let structure = |code: String| {
        let inside = code.strip_prefix("typedef struct ")?.split_once(" {")?;
        let (fields, _) = inside.1.split_once('}')?;
        let fields = fields.split(';').map(str::trim).filter(|text| !text.is_empty());
        Some((inside.0.to_owned(), fields.map(field).collect()))
    };
    declarations(header).into_iter().filter_map(structure).collect()
}

/// The names of the members of enumerations, and of the constants.
pub fn constants(header: &str) -> Vec<String> {
    let members = declarations(header).into_iter().filter(|code| code.starts_with("enum "));
    let members = members.flat_map(|code| {
        let (_, inside) = code.split_once('{').unwrap();
        let names = inside.trim_end_matches('}').split(',').map(str::trim);
        let names = names.filter_map(|member| Some(member.split_once(" = ")?.0.to_owned()));
        names.collect::<Vec<_>>()
    });
    let defined = header.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        (!value.is_empty()).then(|| name.to_owned())
    });
    members.chain(defined).collect()
}
