//! The codes of diagnostics and the page of each, which `chainrun explain CODE` prints.

/// A diagnostic's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        impl Code {
            $($(#[doc = $doc])+ pub const $name: Code = Code(stringify!($name));)+
        }
        /// Every code with its page, in order. A code without a page does not compile.
        pub const CODES: &[(Code, &str)] =
            &[$((Code::$name, include_str!(concat!("../../docs/diagnostics/", stringify!($name), ".md"))),)+];
    };
}

codes! {
    /// A text cannot be read: the file is missing, a directory, not UTF-8, or too large.
    E001;
    /// A string is not closed. A `"…"` ends on its own line; a longer text stands in `"""…"""`.
    E101;
    /// A bracket is not closed, or closes another kind.
    E102;
    /// A `{{` or `{%` inside a string is not closed.
    E103;
    /// Something stands where the language expects something else.
    E104;
    /// Brackets are nested deeper than 200.
    E105;
    /// A string has an escape that does not exist. There are `\n \t \r \" \\ \u{…}`.
    E106;
    /// A part of the language that this version does not have yet.
    E107;
    /// A control character, such as NUL, stands outside a string.
    E108;
    /// A template or expression is not valid.
    E110;
    /// Something is declared or given twice.
    E201;
    /// A name that is reserved.
    E202;
    /// A name that nothing declares, where a stage is expected.
    E203;
    /// A variable that is unknown in a template or expression.
    E204;
    /// A type that is unknown.
    E205;
    /// A provider that is unknown.
    E206;
    /// A declared thing that stands where another kind is expected.
    E207;
    /// An option that a provider or a stage does not have.
    E208;
    /// An option, an argument or a default whose value does not fit.
    E209;
    /// An argument that a prompt or chain does not take, or one that is missing.
    E210;
    /// A value that does not fit over a `|` or into a declared result.
    E211;
    /// A field that a value does not have.
    E212;
    /// A name that hides another, or that could mean two things.
    E213;
    /// Chains, prompts or files that use each other in a circle.
    E214;
    /// A secret that stands where none may.
    E215;
    /// A file holds both a bare pipeline and chains, or nothing to run.
    E216;
    /// The brackets of a `??` probably do not group what was meant.
    E217;
    /// Chains that use chains expand to too many stages or nest too deep.
    E218;
    /// No chain to run, or several and none chosen.
    E220;
    /// An arm of a `match` that is missing, that fits no value, or that nothing reaches.
    E221;
    /// A model that cannot be held to the type of the parser behind it.
    E222;
    /// A path in a file that leads out of the project.
    E230;
    /// Example data that cannot be used: malformed, empty, or with fewer rows than are taken.
    E231;
    /// A command of `exec`, which runs only where the person who runs the file allows it.
    E232;
    /// An index that does not end in `store`, or a `store` that ends none.
    E233;
    /// A test that tests nothing, or a line of a test that says nothing.
    E240;
    /// An assertion that does not exist, or that is given what it does not take.
    E241;
    /// A `--var` or a key of `--vars` that the chain does not have.
    E301;
    /// A variable without a value.
    E302;
    /// A value for a variable that does not fit its type.
    E303;
    /// A configuration file that is not valid.
    E304;
    /// A word on the command line that is not understood.
    E305;
    /// A cost that nobody knows: a model without a price.
    E306;
    /// A model's weights, token or server is missing; a note unless `check --ready`.
    E310;
    /// A stage failed.
    E401;
    /// A model could not be reached.
    E402;
    /// A model's server refused the call.
    E403;
    /// A model's answer ended early or could not be read.
    E404;
    /// A model's answer does not parse.
    E405;
    /// A prompt does not fit, or holds control tokens.
    E406;
    /// Weights could not be fetched or read.
    E407;
    /// A template or expression failed when it ran.
    E408;
    /// A prompt that a recording has no answer to.
    E409;
    /// A result that does not fit the format that was asked for.
    E410;
    /// A `require` that was not met.
    E411;
    /// A pipeline that took longer than its `timeout`.
    E412;
    /// A file of `file` or `files` that cannot be read when the chain runs.
    E430;
    /// A command of `exec` that failed, or whose output is no JSON.
    E431;
    /// Vectors of different dimensions, which cannot be compared.
    E440;
    /// A template holds control tokens that the model's own format adds.
    W501;
    /// An answer was cut by `max_tokens` or the context window.
    W502;
    /// A value early in a prompt of a model inside the process.
    W503;
}
