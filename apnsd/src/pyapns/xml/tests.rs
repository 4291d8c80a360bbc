//! Documents as clients wrote them, documents that nobody should write, and values there and back.

use proptest::prelude::*;

use super::*;

fn one_param(value: &str) -> Result<Value, XmlError> {
    let document =
        format!("<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>");
    read_call(document.as_bytes()).map(|call| call.params.into_iter().next().unwrap())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[test]
fn every_type_is_read() {
    for (value, expected) in [
        ("<value><int>5</int></value>", Value::Int(5)),
        ("<value><i4>-7</i4></value>", Value::Int(-7)),
        ("<value><i8>9007199254740993</i8></value>", Value::Int(9_007_199_254_740_993)),
        ("<value>\n <int> 5\n </int>\n</value>", Value::Int(5)),
        ("<value><boolean>1</boolean></value>", Value::Bool(true)),
        ("<value><boolean>0</boolean></value>", Value::Bool(false)),
        ("<value><double>-1.5e3</double></value>", Value::Double(-1500.0)),
        ("<value><string>a  b</string></value>", text("a  b")),
        ("<value><string/></value>", text("")),
        ("<value>untyped</value>", text("untyped")),
        ("<value> two  words\n</value>", text(" two  words\n")),
        ("<value/>", text("")),
        ("<value></value>", text("")),
        ("<value>a &lt;&amp;&gt; b &#233;&#x1F3b8;</value>", text("a <&> b é🎸")),
        ("<value><string>one<!-- aside -->two<![CDATA[<three>]]></string></value>", text("onetwo<three>")),
        ("<value><string>a\r\nb\rc&#13;d</string></value>", text("a\nb\nc\rd")),
        ("<value><nil/></value>", Value::Nil),
        ("<value><ex:nil xmlns:ex='http://ws.apache.org/xmlrpc/namespaces/extensions'/></value>", Value::Nil),
        (
            "<value><dateTime.iso8601>20130101T00:00:00</dateTime.iso8601></value>",
            Value::DateTime("20130101T00:00:00".into()),
        ),
        ("<value><base64>AAEC\n/w==</base64></value>", Value::Bytes(vec![0, 1, 2, 255])),
        ("<value><array><data/></array></value>", Value::Array(vec![])),
        (
            "<value> <array> <data> <value>a</value> <value><i4>1</i4></value> </data> </array> </value>",
            Value::Array(vec![text("a"), Value::Int(1)]),
        ),
        ("<value><struct/></value>", Value::Struct(vec![])),
        (
            "<value><struct><member><name>b</name><value>1</value></member>\n<member>\n<name>a</name><value><nil/></value></member></struct></value>",
            Value::Struct(vec![("b".into(), text("1")), ("a".into(), Value::Nil)]),
        ),
        // What stands there twice is what it was last, where it was first.
        (
            "<value><struct><member><name>a</name><value>1</value></member><member><name>b</name><value>2</value></member>\
          <member><name>a</name><value>3</value></member></struct></value>",
            Value::Struct(vec![("a".into(), text("3")), ("b".into(), text("2"))]),
        ),
    ] {
        assert_eq!(one_param(value), Ok(expected), "{value}");
    }
}

#[test]
fn a_struct_of_many_members_keeps_their_order_and_the_last_of_each() {
    let member = |number: usize, value: usize| {
        format!("<member><name>k{number}</name><value><int>{value}</int></value></member>")
    };
    let members: String = (0..200).chain(0..200).enumerate().map(|(value, number)| member(number, value)).collect();
    let expected = (0..200).map(|number| (format!("k{number}"), Value::Int(200 + number))).collect();
    assert_eq!(one_param(&format!("<value><struct>{members}</struct></value>")), Ok(Value::Struct(expected)));
}

#[test]
fn what_is_no_call_is_refused_with_a_reason() {
    let wrap = |value: &str| {
        format!("<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>")
    };
    let bomb = "<?xml version='1.0'?><!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>\
                <methodCall><methodName>&b;</methodName></methodCall>";
    for (document, expected) in [
        (String::new(), "the end of the document was found where <methodCall>"),
        ("nonsense".to_owned(), "a text was found where <methodCall>"),
        ("<methodCall>".to_owned(), "the end of the document was found where <methodName>"),
        ("<methodCall><methodName>a</methodCall>".to_owned(), "not well-formed"),
        ("<methodCall><methodName>a</methodName></methodCall><more/>".to_owned(), "<more> is not part of a call"),
        (
            "<methodCall><methodName>a</methodName></methodCall>more".to_owned(),
            "a text was found where the end of the doc",
        ),
        ("<methodResponse/>".to_owned(), "<methodResponse> is not part of a call"),
        (format!("<methodCall><methodName>{}</methodName></methodCall>", "m".repeat(300)), "methodName"),
        (wrap("<value><int>one</int></value>"), "int"),
        (wrap("<value><int>99999999999999999999</int></value>"), "int"),
        (wrap("<value><boolean>yes</boolean></value>"), "boolean"),
        (wrap("<value><double/></value>"), "double"),
        (wrap("<value><base64>???</base64></value>"), "base64"),
        (wrap("<value><bigdecimal>1</bigdecimal></value>"), "<bigdecimal> is not"),
        (wrap("<value>text<int>1</int></value>"), "an element was found where the end of <value>"),
        (wrap("<value><struct><name>a</name></struct></value>"), "an element was found where <member>"),
        (wrap("<value><int>1</int><int>2</int></value>"), "an element was found where the end of an element"),
        (wrap("<value>&unknown;</value>"), "an entity is not known"),
        (wrap("<value>&#0;</value>"), ""),
        (wrap("<value>&#x1F;</value>"), "U+001F"),
        (wrap("<value>\u{1}</value>"), "U+0001"),
        (wrap("<value>&amp</value>"), "not well-formed"),
        (wrap("<value a=b></value>"), "not well-formed"),
        (bomb.to_owned(), "a document type is not taken"),
        ("<!DOCTYPE html><methodCall/>".to_owned(), "a document type is not taken"),
        ("<?xml version='1.0' encoding='UTF-16'?><methodCall/>".to_owned(), "the encoding is not one of"),
    ] {
        let error = read_call(document.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{document}\n{error}");
    }
    assert_eq!(read_call(b"<methodCall>\xff").unwrap_err(), XmlError::NotInEncoding("UTF-8"));
}

#[test]
fn values_may_be_nested_to_a_bound() {
    let nested = |depth: usize| {
        let open = "<value><array><data>".repeat(depth);
        let close = "</data></array></value>".repeat(depth);
        one_param(&format!("{open}{close}"))
    };
    assert!(nested(DEEPEST).is_ok());
    assert_eq!(nested(DEEPEST + 1), Err(XmlError::TooDeep));
    assert_eq!(nested(200_000), Err(XmlError::TooDeep), "and the bound is noticed on the way down");
}

#[test]
fn the_number_of_elements_is_bounded() {
    let values = "<value/>".repeat(MOST_ELEMENTS);
    assert_eq!(one_param(&format!("<value><array><data>{values}</data></array></value>")), Err(XmlError::TooMany));
}

#[test]
fn attributes_cost_nothing() {
    let attributes: String = (0..500_000).map(|number| format!(" a{number}=''")).collect();
    assert_eq!(one_param(&format!("<value{attributes}/>")), Err(XmlError::LongTag));
    assert_eq!(one_param("<value><int xmlns='urn:x' a=\"b\">1</int></value>"), Ok(Value::Int(1)));
}

#[test]
fn texts_are_read_in_the_encoding_that_is_announced() {
    let call = |encoding: &str, name: &[u8]| {
        let mut document =
            format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<methodCall><methodName>").into_bytes();
        document.extend_from_slice(name);
        document.extend_from_slice(b"</methodName></methodCall>");
        read_call(&document).map(|call| call.method)
    };
    assert_eq!(call("UTF-8", "Grüße".as_bytes()), Ok("Grüße".to_owned()));
    assert_eq!(call("iso-8859-1", b"Gr\xfc\xdfe"), Ok("Grüße".to_owned()));
    assert_eq!(call("us-ascii", b"plain"), Ok("plain".to_owned()));
    assert_eq!(call("us-ascii", b"Gr\xfc\xdfe"), Err(XmlError::NotInEncoding("US-ASCII")));
    let marked = "\u{feff}<methodCall><methodName>m</methodName></methodCall>";
    assert_eq!(read_call(marked.as_bytes()).unwrap().method, "m");
}

#[test]
fn json_keeps_order_and_characters_and_knows_null() {
    let value = Value::Struct(vec![
        ("z".into(), text("日本語 \"quoted\" \\ \n 🎸")),
        ("a".into(), Value::Array(vec![Value::Nil, Value::Bool(true), Value::Int(-3), Value::Double(1.5)])),
    ]);
    let mut json = String::new();
    value.write_json(&mut json).unwrap();
    assert_eq!(json, r#"{"z":"日本語 \"quoted\" \\ \n 🎸","a":[null,true,-3,1.5]}"#);
    for value in [Value::DateTime("x".into()), Value::Bytes(vec![1]), Value::Double(f64::NAN)] {
        assert!(Value::Array(vec![value]).write_json(&mut String::new()).is_err());
    }
}

#[test]
fn answers_are_what_pyapns_wrote() {
    let nil = response(&Value::Nil);
    assert_eq!(nil.len(), 114);
    assert_eq!(
        nil,
        "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><nil/></value></param>\n</params>\n\
         </methodResponse>\n"
    );
    let empty = response(&Value::Array(vec![]));
    assert_eq!(empty.len(), 138);
    assert!(empty.contains("<param>\n<value><array><data>\n</data></array></value>\n</param>"));
}

#[test]
fn nothing_of_a_value_is_shown() {
    let value = Value::Struct(vec![("secret".into(), text("hidden"))]);
    assert_eq!(format!("{value:?} {:?}", text("hidden")), "struct string");
    let error = read_call(b"<methodCall><methodName>m</methodName><params><param><value><int>hidden</int>");
    assert!(!error.unwrap_err().to_string().contains("hidden"));
}

fn any_text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.chars().filter(|character| is_xml(*character)).collect())
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        prop::num::f64::NORMAL.prop_map(Value::Double),
        any_text().prop_map(Value::Text),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
        Just(Value::DateTime("20130101T00:00:00".to_owned())),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(any_text(), inner, 0..6)
                .prop_map(|members| Value::Struct(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in any_value()) {
        let mut xml = String::new();
        value.write_xml(&mut xml);
        prop_assert_eq!(one_param(&xml), Ok(value));
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _read = read_call(&bytes);
    }

    #[test]
    fn no_order_of_parts_is_too_strange(parts in prop::collection::vec(prop::sample::select(PARTS), 0..60)) {
        let document: String = parts.concat();
        let _read = read_call(document.as_bytes());
        let _inside = one_param(&document);
    }

    #[test]
    fn a_document_may_end_anywhere(value in any_value(), cut in any::<prop::sample::Index>()) {
        let mut xml = String::from("<methodCall><methodName>m</methodName><params><param>");
        value.write_xml(&mut xml);
        xml.push_str("</param></params></methodCall>");
        let cut = cut.index(xml.len());
        prop_assert!(read_call(&xml.as_bytes()[..cut]).is_err());
    }
}

const PARTS: &[&str] = &[
    "<methodCall>",
    "</methodCall>",
    "<methodName>",
    "</methodName>",
    "<params>",
    "</params>",
    "<param>",
    "</param>",
    "<value>",
    "</value>",
    "<value/>",
    "<int>",
    "</int>",
    "<string>",
    "</string>",
    "<array>",
    "</array>",
    "<data>",
    "</data>",
    "<struct>",
    "</struct>",
    "<member>",
    "</member>",
    "<name>",
    "</name>",
    "<nil/>",
    "<base64>",
    "</base64>",
    "<double>",
    "</double>",
    "<boolean>",
    "</boolean>",
    "&amp;",
    "&#65;",
    "&x;",
    "&",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?xml version='1.0'?>",
    "<?pi",
    "?>",
    "<!DOCTYPE a>",
    "1",
    " ",
    "\n",
    "é",
    "\u{1f3b8}",
    "<",
    ">",
    "\"",
    "=",
    "nan",
];
