//! Evaluates the formulas of a document: `name(parameters) = expression` lines over whole
//! numbers, with `+ * /`, parentheses, calls, and `up(a, b)`.

use std::collections::BTreeMap;

/// The formulas of a document, and the values of some names.
#[derive(Debug, Default)]
pub struct Formulas {
    of: BTreeMap<String, (Vec<String>, String)>,
}

type Values = BTreeMap<String, u64>;

impl Formulas {
    /// Adds the lines of a block that have the form of a formula.
    pub fn add(&mut self, block: &str) {
        for line in block.lines() {
            let Some((left, right)) = line.split_once(" = ") else { continue };
            let (name, parameters) = left.trim().split_once('(').unwrap_or((left.trim(), ""));
            let parameters = parameters.trim_end_matches(')').split(", ");
            let parameters =
                parameters.filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let before = self.of.insert(name.to_owned(), (parameters, right.trim().to_owned()));
            assert!(before.is_none(), "{name} is defined twice");
        }
    }

    /// The value of an expression.
    pub fn value(&self, expression: &str, values: &Values) -> u64 {
        let mut parser = Parser { rest: expression, formulas: self, values };
        let value = parser.sum();
        assert!(parser.rest.trim().is_empty(), "{expression}: {:?} is left", parser.rest);
        value
    }

    fn call(&self, name: &str, arguments: &[u64], values: &Values) -> u64 {
        if let ("up", &[a, b]) = (name, arguments) {
            return a.next_multiple_of(b);
        }
        let (parameters, expression) =
            self.of.get(name).unwrap_or_else(|| panic!("no formula for {name}"));
        assert_eq!(parameters.len(), arguments.len(), "arguments of {name}");
        let mut values = values.clone();
        values.extend(parameters.iter().cloned().zip(arguments.iter().copied()));
        self.value(expression, &values)
    }
}

struct Parser<'a> {
    rest: &'a str,
    formulas: &'a Formulas,
    values: &'a Values,
}

impl<'a> Parser<'a> {
    fn sign(&mut self, sign: char) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn sum(&mut self) -> u64 {
        let mut sum = self.product();
        while self.sign('+') {
            sum += self.product();
        }
        sum
    }

    fn product(&mut self) -> u64 {
        let mut product = self.factor();
        loop {
            if self.sign('*') {
                product *= self.factor();
            } else if self.sign('/') {
                product /= self.factor();
            } else {
                return product;
            }
        }
    }

    fn factor(&mut self) -> u64 {
        if self.sign('(') {
            let inner = self.sum();
            assert!(self.sign(')'), "a parenthesis before {:?}", self.rest);
            return inner;
        }
        let word = self.word();
        if let Ok(number) = word.parse() {
            return number;
        }
        let mut arguments = Vec::new();
        if self.sign('(') {
            arguments.push(self.sum());
            while self.sign(',') {
                arguments.push(self.sum());
            }
            assert!(self.sign(')'), "a parenthesis before {:?}", self.rest);
        } else if let Some(&value) = self.values.get(word) {
            return value;
        }
        self.formulas.call(word, &arguments, self.values)
    }

    fn word(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        assert!(!word.is_empty(), "a name or number before {rest:?}");
        self.rest = rest;
        word
    }
}

#[test]
fn formulas_are_evaluated() {
    let mut formulas = Formulas::default();
    formulas.add("a = 2 + 3 * b\nc(x) = up(a, 8) / 2 + x\nno formula\n");
    let values = Values::from([("b".to_owned(), 4)]);
    assert_eq!(formulas.value("(a + 1) * c(b + 1)", &values), 15 * (8 + 5));
}
