# Makes a manual page of each function of tendmap.h, and tendmap.3 of the rest.
#
#   awk -v version=0.1.0 -v to=DIR -f man.awk tendmap.h

function escape(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/)
        text = "\\&" text
    return text
}

function title(name, page) {
    print ".TH " name " 3 \"\" \"tendmap " version "\" \"tendmap\"" > page
}

# As escape(), with the names in backquotes in italics.
function marked(text,    parts, count, i) {
    count = split(text, parts, "`")
    text = escape(parts[1])
    for (i = 2; i <= count; i++)
        text = text (i % 2 ? "\\fR" : "\\fI") escape(parts[i])
    return text
}

# Prose: paragraphs, and code where lines are indented.
function prose(text, page,    lines, count, i, code, line) {
    count = split(text, lines, "\n")
    code = 0
    for (i = 1; i <= count; i++) {
        line = lines[i]
        if (line ~ /^    / && !code) {
            print ".PP\n.nf\n.RS 4" > page
            code = 1
        } else if (line !~ /^    / && line != "" && code) {
            print ".RE\n.fi\n.PP" > page
            code = 0
        }
        if (line == "") {
            if (!code && i < count && lines[i + 1] !~ /^    /)
                print ".PP" > page
            continue
        }
        if (code)
            print escape(substr(line, 5)) > page
        else
            print marked(line) > page
    }
    if (code)
        print ".RE\n.fi" > page
}

# The first sentence, for NAME.
function summary(text,    first) {
    first = text
    sub(/\n\n.*/, "", first)
    gsub(/\n/, " ", first)
    sub(/[.:;] .*/, "", first)
    sub(/[.:;]$/, "", first)
    return marked(tolower(substr(first, 1, 1)) substr(first, 2))
}

# What a function returns, by its type; nothing where its text says it all.
function returned(name,    type) {
    type = substr(code, 1, index(code, name) - 1)
    if (name ~ /^tendmap_(last_error|error_name|version)/ || type ~ /^void $/)
        return ""
    if (type !~ /^int $/)
        return "A pointer, or NULL on error.\n"
    if (doc ~ /-1 on error/)
        return "A number of 0 or more, or \\-1 on error.\n"
    return "TENDMAP_OK (0), or a tendmap_error on error.\n"
}

# The pages of the functions that its text names.
function related(name,    rest, other, all) {
    for (rest = doc; match(rest, /tendmap_[a-z_]+\(\)/); rest = substr(rest, RSTART + RLENGTH)) {
        other = substr(rest, RSTART, RLENGTH - 2)
        if (other != name && index(all, " " other " ") == 0)
            all = all ".BR " other " (3),\n"
    }
    return all
}

function function_page(name,    page, threads, text) {
    page = to "/" name ".3"
    title(name, page)
    print ".SH NAME\n" name " \\- " summary(doc) > page
    print ".SH SYNOPSIS\n.nf\n.B #include <tendmap.h>\n.PP" > page
    print "\\fB" escape(code) "\\fP\n.fi" > page
    print ".SH DESCRIPTION" > page
    threads = index(doc, "\n\nThreads: ")
    text = substr(doc, 1, threads - 1)
    prose(text, page)
    text = returned(name)
    if (text != "") {
        print ".SH RETURN VALUE" > page
        printf "%s", text ".BR tendmap_last_error_code (3)\nthen returns the error's code, and\n" > page
        print ".BR tendmap_last_error (3)\nits text." > page
    }
    print ".SH THREADS AND FORK" > page
    prose(substr(doc, threads + 2), page)
    print ".SH SEE ALSO\n" related(name) ".BR tendmap (3)" > page
    close(page)
    functions = functions sprintf(".TP\n.BR %s (3)\n%s\n", name, summary(doc))
}

BEGIN {
    if (to == "" || version == "") {
        print "man.awk: wanted -v version=VERSION and -v to=DIR" > "/dev/stderr"
        bad = 1
        exit 2
    }
}

# The comment at the top is the introduction.
/^\/\*/ { top = 1 }
top {
    line = $0
    ended = line ~ /\*\/$/
    sub(/^\/\* ?|^ \*\/?  ?/, "", line)
    sub(/^ \*\/?/, "", line)
    if (line !~ /^Generated from/ && !ended)
        introduction = introduction line "\n"
    if (ended)
        top = 0
    next
}
/^#define TENDMAP_[A-Z_]+ / {
    constants = constants sprintf(".TP\n.B %s\n", escape($2 " " $3))
    constants = constants marked(comment(doc)) "\n"
}
/^#/ || /^extern "C"/ || /^}  \/\/ extern/ { if (!inside) { doc = ""; next } }
/^\/\// && !inside {
    line = $0
    sub(/^\/\/ ?/, "", line)
    doc = doc (doc == "" ? "" : "\n") line
    next
}
/^$/ && !inside { doc = ""; next }
{
    if (!inside) {
        code = ""
        inside = 1
    }
    # Which compilers know the types of enumerations does not matter here.
    if ($0 == " {")
        code = code " {"
    else if ($0 !~ /^#|^  : (u?int32_t)$/)
        code = code (code == "" ? "" : "\n") $0
    open += gsub(/\{/, "{") - gsub(/\}/, "}")
    if (open > 0 || $0 !~ /;$/)
        next
    inside = 0
    if (code ~ /^typedef struct [a-z_]+ [a-z_]+;$/ || code ~ /^typedef (enum|u?int32_t)/) {
        doc = ""
        next
    }
    if (code !~ /^(typedef|enum)/ && match(code, /tendmap_[a-z_]+\(/)) {
        function_page(substr(code, RSTART, RLENGTH - 1))
    } else {
        types = types ".PP\n.nf\n"
        count = split(doc "\n" code, lines, "\n")
        for (i = 1; i <= count; i++)
            types = types escape((i <= split(doc, ignored, "\n") ? "// " : "") lines[i]) "\n"
        types = types ".fi\n"
    }
    doc = ""
}

function comment(text) {
    gsub(/\n/, " ", text)
    return text
}

END {
    if (bad)
        exit 2
    page = to "/tendmap.3"
    title("tendmap", page)
    print ".SH NAME\ntendmap \\- routes keys to the nodes of a partitioned database cluster" > page
    print ".SH SYNOPSIS\n.nf\n.B #include <tendmap.h>\n.PP\ncc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs tendmap)\n.fi" > page
    print ".SH DESCRIPTION" > page
    sub(/\n+$/, "", introduction)
    prose(introduction, page)
    print ".SH FUNCTIONS" > page
    printf "%s", functions > page
    print ".SH CONSTANTS" > page
    printf "%s", constants > page
    print ".SH TYPES" > page
    sub(/^\.PP\n/, "", types)
    printf "%s", types > page
    print ".SH SEE ALSO\n.BR tendmap (1)" > page
}
