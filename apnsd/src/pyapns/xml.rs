//! XML-RPC documents: calls in, values out.
//!
//! The reader takes what the clients of pyapns write and what the specification allows: `<i4>` and `<int>`, untyped
//! texts, white space between elements, nil. It takes no document type, so there are no entities to expand; depth,
//! size and the number of elements are bounded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::{self, Write as _};

use apns_proto::Escaped;
use apns_proto::encoding::{self, EncodingError};
use base64::Engine as _;
use quick_xml::Reader;
use quick_xml::events::Event;

/// How deep values may stand in values.
const DEEPEST: usize = 64;
/// The most elements of one document.
const MOST_ELEMENTS: usize = 1_000_000;
/// The longest tag in bytes: attributes say nothing in XML-RPC, and looking for one that is there twice takes its time.
const LONGEST_TAG: usize = 1024;
/// The longest name of a method in bytes.
const LONGEST_NAME: usize = 255;

/// A value of XML-RPC.
#[derive(Clone, PartialEq)]
pub(super) enum Value {
    Nil,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// As it was written; nobody here looks into it.
    DateTime(String),
    Bytes(Vec<u8>),
    Array(Vec<Self>),
    /// In the order in which they were written. No name is there twice.
    Struct(Vec<(String, Self)>),
}

/// Says which kind it is and nothing more: values are device tokens, payloads and certificates.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) params: Vec<Value>,
}

/// Why a document cannot be read. There is nothing of its texts in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum XmlError {
    #[error("it is not well-formed: {problem} (at byte {at})")]
    Malformed { problem: String, at: u64 },
    #[error("{0}")]
    Unreadable(EncodingError),
    #[error("the encoding is not one of UTF-8, US-ASCII and ISO-8859-1")]
    Encoding,
    #[error("it is not {0}, as which it was announced")]
    NotInEncoding(&'static str),
    #[error("a tag is longer than {LONGEST_TAG} bytes")]
    LongTag,
    #[error("a document type is not taken")]
    DocumentType,
    #[error("the character U+{0:04X} cannot be in XML")]
    Character(u32),
    #[error("an entity is not known here")]
    Entity,
    #[error("the element <{0}> is not part of a call")]
    Element(String),
    #[error("{found} was found where {expected} has to be")]
    Structure { expected: &'static str, found: &'static str },
    #[error("a value of type {0} cannot be read")]
    Scalar(&'static str),
    #[error("values are nested deeper than {DEEPEST}")]
    TooDeep,
    #[error("there are more than {MOST_ELEMENTS} elements")]
    TooMany,
}

/// Something that JSON has no word for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("JSON has nothing for a value of type {0}")]
pub(super) struct NoJson(&'static str);

impl Value {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "int",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::DateTime(_) => "dateTime.iso8601",
            Self::Bytes(_) => "base64",
            Self::Array(_) => "array",
            Self::Struct(_) => "struct",
        }
    }

    /// Writes it as JSON: compact, keys in their order, non-ASCII as it is.
    pub(super) fn write_json(&self, out: &mut String) -> Result<(), NoJson> {
        match self {
            Self::Nil => out.push_str("null"),
            Self::Bool(value) => put(out, format_args!("{value}")),
            Self::Int(value) => put(out, format_args!("{value}")),
            Self::Double(value) if !value.is_finite() => return Err(NoJson("double that is not finite")),
            Self::Double(value) => out.push_str(&serde_json::to_string(value).expect("the number is finite")),
            Self::Text(text) => quote(text, out),
            Self::DateTime(_) | Self::Bytes(_) => return Err(NoJson(self.kind())),
            Self::Array(values) => {
                out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write_json(out)?;
                }
                out.push(']');
            }
            Self::Struct(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    quote(name, out);
                    out.push(':');
                    value.write_json(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// Writes it as XML, the way Python's library does: clients compared bytes.
    pub(super) fn write_xml(&self, out: &mut String) {
        match self {
            // The one without a line break behind it.
            Self::Nil => out.push_str("<value><nil/></value>"),
            Self::Bool(value) => scalar("boolean", if *value { "1" } else { "0" }, out),
            Self::Int(value) => scalar("int", &value.to_string(), out),
            Self::Double(value) => scalar("double", &value.to_string(), out),
            Self::Text(text) => scalar("string", text, out),
            Self::DateTime(text) => scalar("dateTime.iso8601", text, out),
            Self::Bytes(bytes) => {
                scalar("base64", &base64::engine::general_purpose::STANDARD.encode(bytes), out);
            }
            Self::Array(values) => {
                out.push_str("<value><array><data>\n");
                for value in values {
                    value.write_xml(out);
                }
                out.push_str("</data></array></value>\n");
            }
            Self::Struct(members) => {
                out.push_str("<value><struct>\n");
                for (name, value) in members {
                    out.push_str("<member>\n<name>");
                    escape(name, out);
                    out.push_str("</name>\n");
                    value.write_xml(out);
                    out.push_str("</member>\n");
                }
                out.push_str("</struct></value>\n");
            }
        }
    }
}

fn put(out: &mut String, arguments: fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a text takes everything");
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("a text can be written as JSON"));
}

fn scalar(name: &str, text: &str, out: &mut String) {
    put(out, format_args!("<value><{name}>"));
    escape(text, out);
    put(out, format_args!("</{name}></value>\n"));
}

fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // As it stands, a reader would take it for a line feed.
            '\r' => out.push_str("&#13;"),
            character if is_xml(character) => out.push(character),
            _ => out.push('\u{fffd}'),
        }
    }
}

/// The answer of a call that went well.
pub(super) fn response(value: &Value) -> String {
    let mut out = String::from("<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n");
    value.write_xml(&mut out);
    out.push_str("</param>\n</params>\n</methodResponse>\n");
    out
}

/// The answer of one that did not.
pub(super) fn fault(code: i64, text: &str) -> String {
    let mut out = String::from("<?xml version='1.0'?>\n<methodResponse>\n<fault>\n");
    // Control characters cannot be in XML at all.
    let text = Value::Text(Escaped(text).to_string());
    Value::Struct(vec![("faultCode".to_owned(), Value::Int(code)), ("faultString".to_owned(), text)])
        .write_xml(&mut out);
    out.push_str("</fault>\n</methodResponse>\n");
    out
}

/// Reads a call.
pub(super) fn read_call(bytes: &[u8]) -> Result<Call, XmlError> {
    let text = decode(bytes)?;
    if let Some(character) = text.chars().find(|character| !is_xml(*character)) {
        return Err(XmlError::Character(character.into()));
    }
    Parser::new(&text).call()
}

/// Char of XML 1.0, section 2.2.
const fn is_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    let bytes = encoding::skip_mark(bytes).map_err(XmlError::Unreadable)?;
    let utf8 = |name| str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| XmlError::NotInEncoding(name));
    match announced(bytes).as_deref() {
        None | Some("utf-8" | "utf8") => utf8("UTF-8"),
        Some("us-ascii" | "ascii") if bytes.is_ascii() => utf8("US-ASCII"),
        Some("us-ascii" | "ascii") => Err(XmlError::NotInEncoding("US-ASCII")),
        Some("iso-8859-1" | "latin-1" | "latin1") => Ok(bytes.iter().copied().map(char::from).collect()),
        Some(_) => Err(XmlError::Encoding),
    }
}

/// The encoding that the declaration names, in lower case.
fn announced(bytes: &[u8]) -> Option<String> {
    let declaration = bytes.strip_prefix(b"<?xml")?;
    let declaration = &declaration[..declaration.len().min(200)];
    let end = declaration.windows(2).position(|pair| pair == b"?>")?;
    let declaration = str::from_utf8(&declaration[..end]).ok()?;
    let (_, rest) = declaration.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, _) = rest[1..].split_once(quote)?;
    Some(name.to_ascii_lowercase())
}

/// The elements of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag {
    MethodCall,
    MethodName,
    Params,
    Param,
    Value,
    Int,
    Boolean,
    Text,
    Double,
    DateTime,
    Base64,
    Array,
    Data,
    Struct,
    Member,
    Name,
    Nil,
}

impl Tag {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "methodCall" => Self::MethodCall,
            "methodName" => Self::MethodName,
            "params" => Self::Params,
            "param" => Self::Param,
            "value" => Self::Value,
            "int" | "i4" | "i8" | "i2" | "i1" | "ex:i8" | "ex:i2" | "ex:i1" => Self::Int,
            "boolean" => Self::Boolean,
            "string" => Self::Text,
            "double" => Self::Double,
            "dateTime.iso8601" => Self::DateTime,
            "base64" => Self::Base64,
            "array" => Self::Array,
            "data" => Self::Data,
            "struct" => Self::Struct,
            "member" => Self::Member,
            "name" => Self::Name,
            "nil" | "ex:nil" => Self::Nil,
            _ => return None,
        })
    }
}

/// What a document is made of, as far as a call is concerned.
enum Part<'a> {
    Open(Tag),
    Close,
    Text(Cow<'a, str>),
    End,
}

impl Part<'_> {
    const fn what(&self) -> &'static str {
        match self {
            Self::Open(_) => "an element",
            Self::Close => "the end of an element",
            Self::Text(_) => "a text",
            Self::End => "the end of the document",
        }
    }

    const fn instead_of(&self, expected: &'static str) -> XmlError {
        XmlError::Structure { expected, found: self.what() }
    }
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    begun: bool,
    elements: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.expand_empty_elements = true;
        config.enable_all_checks(true);
        Self { reader, begun: false, elements: 0 }
    }

    fn malformed(&self, problem: impl fmt::Display) -> XmlError {
        XmlError::Malformed { problem: short(&problem.to_string()), at: self.reader.error_position() }
    }

    fn next(&mut self) -> Result<Part<'a>, XmlError> {
        loop {
            let event = match self.reader.read_event() {
                Ok(event) => event,
                Err(error) => return Err(self.malformed(error)),
            };
            let first = !std::mem::replace(&mut self.begun, true);
            return Ok(match event {
                Event::Start(start) | Event::Empty(start) => {
                    self.elements += 1;
                    if self.elements > MOST_ELEMENTS {
                        return Err(XmlError::TooMany);
                    }
                    if start.len() > LONGEST_TAG {
                        return Err(XmlError::LongTag);
                    }
                    if let Some(error) = start.attributes().find_map(Result::err) {
                        return Err(self.malformed(error));
                    }
                    let name = start.name().into_inner();
                    Part::Open(Tag::of(name).ok_or_else(|| XmlError::Element(short(name)))?)
                }
                Event::End(_) => Part::Close,
                Event::Text(text) => Part::Text(text.xml10_content().into_owned().into()),
                Event::CData(text) => Part::Text(text.xml10_content().into_owned().into()),
                Event::GeneralRef(name) => {
                    let character = match name.resolve_char_ref() {
                        Ok(Some(character)) => character,
                        Ok(None) => predefined(&name).ok_or(XmlError::Entity)?,
                        Err(error) => return Err(self.malformed(error)),
                    };
                    if !is_xml(character) {
                        return Err(XmlError::Character(character.into()));
                    }
                    Part::Text(character.to_string().into())
                }
                Event::DocType(_) => return Err(XmlError::DocumentType),
                Event::Decl(_) if first => continue,
                Event::Decl(_) => return Err(self.malformed("the declaration is not at the beginning")),
                Event::Comment(_) | Event::PI(_) => continue,
                Event::Eof => Part::End,
            });
        }
    }

    /// The next part that is not white space.
    fn solid(&mut self) -> Result<Part<'a>, XmlError> {
        loop {
            match self.next()? {
                Part::Text(text) if is_blank(&text) => {}
                part => return Ok(part),
            }
        }
    }

    fn open(&mut self, tag: Tag, expected: &'static str) -> Result<(), XmlError> {
        match self.solid()? {
            Part::Open(found) if found == tag => Ok(()),
            part => Err(part.instead_of(expected)),
        }
    }

    fn close(&mut self) -> Result<(), XmlError> {
        match self.solid()? {
            Part::Close => Ok(()),
            part => Err(part.instead_of("the end of an element")),
        }
    }

    /// Whether there is one more of these before the element around them ends.
    fn one_more(&mut self, tag: Tag, expected: &'static str) -> Result<bool, XmlError> {
        match self.solid()? {
            Part::Open(found) if found == tag => Ok(true),
            Part::Close => Ok(false),
            part => Err(part.instead_of(expected)),
        }
    }

    /// The text up to the end of the element.
    fn text(&mut self) -> Result<String, XmlError> {
        let mut whole = String::new();
        loop {
            match self.next()? {
                Part::Text(text) => whole.push_str(&text),
                Part::Close => return Ok(whole),
                part @ (Part::Open(_) | Part::End) => return Err(part.instead_of("a text")),
            }
        }
    }

    fn call(&mut self) -> Result<Call, XmlError> {
        self.open(Tag::MethodCall, "<methodCall>")?;
        self.open(Tag::MethodName, "<methodName>")?;
        let method = self.text()?.trim().to_owned();
        if method.len() > LONGEST_NAME {
            return Err(XmlError::Scalar("methodName"));
        }
        let mut params = Vec::new();
        if self.one_more(Tag::Params, "<params>")? {
            while self.one_more(Tag::Param, "<param>")? {
                self.open(Tag::Value, "<value>")?;
                params.push(self.value(0)?);
                self.close()?;
            }
            self.close()?;
        }
        match self.solid()? {
            Part::End => Ok(Call { method, params }),
            part => Err(part.instead_of("the end of the document")),
        }
    }

    /// What stands in `<value>`, up to its end.
    fn value(&mut self, depth: usize) -> Result<Value, XmlError> {
        if depth == DEEPEST {
            return Err(XmlError::TooDeep);
        }
        let mut untyped = String::new();
        loop {
            match self.next()? {
                Part::Text(text) => untyped.push_str(&text),
                Part::Close => return Ok(Value::Text(untyped)),
                Part::Open(tag) if is_blank(&untyped) => {
                    let value = self.typed(tag, depth)?;
                    self.close()?;
                    return Ok(value);
                }
                part @ (Part::Open(_) | Part::End) => return Err(part.instead_of("the end of <value>")),
            }
        }
    }

    /// What stands in the element that names a type, up to its end.
    fn typed(&mut self, tag: Tag, depth: usize) -> Result<Value, XmlError> {
        Ok(match tag {
            Tag::Nil => match self.solid()? {
                Part::Close => Value::Nil,
                part => return Err(part.instead_of("the end of <nil>")),
            },
            Tag::Text => Value::Text(self.text()?),
            Tag::Int => Value::Int(self.text()?.trim().parse().map_err(|_| XmlError::Scalar("int"))?),
            Tag::Boolean => match self.text()?.trim() {
                "0" => Value::Bool(false),
                "1" => Value::Bool(true),
                _ => return Err(XmlError::Scalar("boolean")),
            },
            Tag::Double => Value::Double(self.text()?.trim().parse().map_err(|_| XmlError::Scalar("double"))?),
            Tag::DateTime => Value::DateTime(self.text()?.trim().to_owned()),
            Tag::Base64 => {
                let mut text = self.text()?;
                text.retain(|character| !character.is_ascii_whitespace());
                let bytes = base64::engine::general_purpose::STANDARD.decode(text);
                Value::Bytes(bytes.map_err(|_| XmlError::Scalar("base64"))?)
            }
            Tag::Array => Value::Array(self.array(depth)?),
            Tag::Struct => Value::Struct(self.members(depth)?),
            Tag::MethodCall
            | Tag::MethodName
            | Tag::Params
            | Tag::Param
            | Tag::Value
            | Tag::Data
            | Tag::Member
            | Tag::Name => return Err(Part::Open(tag).instead_of("a type")),
        })
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, XmlError> {
        let mut values = Vec::new();
        if self.one_more(Tag::Data, "<data>")? {
            while self.one_more(Tag::Value, "<value>")? {
                values.push(self.value(depth + 1)?);
            }
            self.close()?;
        }
        Ok(values)
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, Value)>, XmlError> {
        let mut members: Vec<(String, Value)> = Vec::new();
        // Looked through as long as that is quicker.
        let mut places: HashMap<String, usize> = HashMap::new();
        while self.one_more(Tag::Member, "<member>")? {
            self.open(Tag::Name, "<name>")?;
            let name = self.text()?;
            self.open(Tag::Value, "<value>")?;
            let value = self.value(depth + 1)?;
            self.close()?;
            let place = if members.len() <= FEW {
                members.iter().position(|(known, _)| *known == name)
            } else {
                if places.is_empty() {
                    places.extend(members.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)));
                }
                places.get(&name).copied()
            };
            match place {
                // The last one holds, at the first one's place.
                Some(place) => members[place].1 = value,
                None => {
                    if !places.is_empty() {
                        places.insert(name.clone(), members.len());
                    }
                    members.push((name, value));
                }
            }
        }
        Ok(members)
    }
}

/// Up to so many members are looked through one by one.
const FEW: usize = 16;

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

fn predefined(name: &str) -> Option<char> {
    Some(match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => return None,
    })
}

/// The beginning of a text that a caller chose.
fn short(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests;
