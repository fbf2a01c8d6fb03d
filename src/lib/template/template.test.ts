import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Refusal } from '../errors.ts';
import { parseTemplate } from './template.ts';

const value = {
  Id: 'x',
  Name: '/web one',
  Pid: 7,
  Up: true,
  A: { B: 1, 'c.d': true },
  L: ['p', 'q'],
  Empty: [],
  Networks: new Map([
    ['two', { IP: '10.0.0.2', Aliases: ['b', 'c'] }],
    ['one', { IP: '10.0.0.1', Aliases: [] }],
  ]),
  Labels: new Map([['tier', 'web']]),
  Nothing: null,
};

test('templates say what Go’s say', () => {
  const table: [string, string][] = [
    ['', ''],
    ['text }} alone', 'text }} alone'],
    ['{{.Id}}', 'x'],
    ['{{ .A.B }}-{{.Id}}', '1-x'],
    ['{{json .A}}', '{"B":1,"c.d":true}'],
    ['{{json .Labels}} {{.A | json}}', '{"tier":"web"} {"B":1,"c.d":true}'],
    ['{{index .A "c.d"}}{{index .L 1}}{{(index .Networks "one").IP}}', 'trueq10.0.0.1'],
    ['{{index .Labels "none"}}|{{.Labels.none}}|{{.Labels.tier}}|{{.Nothing}}', '|<no value>|web|<no value>'],
    ['{{.L}} {{.A}} {{.Labels}} {{.Up}}', '[p q] {1 true} map[tier:web] true'],
    ['{{range .Networks}}{{.IP}} {{end}}!', '10.0.0.1 10.0.0.2 !'],
    ['{{range $k, $v := .Networks}}{{$k}}={{$v.IP}},{{end}}', 'one=10.0.0.1,two=10.0.0.2,'],
    ['{{range $i, $v := .L}}{{if $i}}, {{end}}{{$v}}{{end}}', 'p, q'],
    ['{{range .Empty}}x{{else}}none{{end}}', 'none'],
    ['{{range .L}}{{if eq . "p"}}{{continue}}{{end}}{{.}}{{$.Id}}{{end}}', 'qx'],
    ['{{range .L}}{{.}}{{break}}{{end}}', 'p'],
    ['{{if .Empty}}a{{else if .Up}}b{{else}}c{{end}}', 'b'],
    ['{{with .A}}{{.B}}{{end}}{{with .Nothing}}x{{else}}y{{end}}', '1y'],
    ['{{$v := .Id}}{{if true}}{{$v = "changed"}}{{end}}{{$v}}', 'changed'],
    ['{{$n := 0}}{{range .L}}{{$n = len $.L}}{{end}}{{$n}}', '2'],
    ['{{- /* nothing */ -}}  a  {{- " b " -}}  c', 'a b c'],
    ['a {{"b"}} {{`c\\n`}}{{"\\t\\"\\u00e9"}}', 'a b c\\n\t"é'],
    [
      '{{join .L ", "}} {{split "a:b" ":"}} {{lower "ÀB"}} {{upper .Id}} {{title "two words"}}',
      'p, q [a b] àb X Two Words',
    ],
    ['{{pad .Id 1 2}}|{{truncate .Name 4}}|{{.Name | printf "%-10s|"}}', ' x  |/web|/web one  |'],
    ['{{printf "%05d %x %q %v %.1f%% %s" .Pid 255 "a" .L 1.25 "z"}}', '00007 ff "a" [p q] 1.3% z'],
    ['{{println .Id 1}}{{print 1 2 "a" "b" 3}}', 'x 1\n1 2ab3'],
    ['{{eq .Id "y" "x"}} {{ne 1 2}} {{lt 1 2}} {{ge "b" "a"}} {{not .Empty}}', 'true true true true true'],
    ['{{and .Id .Pid}} {{or .Empty .L}} {{or true (index .L 9)}}', '7 [p q] true'],
    ['{{len .Name}} {{len .Networks}} {{slice .Name 1 4}}', '8 2 web'],
    ['{{html "<a>"}} {{urlquery "a b&c"}}', '&lt;a&gt; a+b%26c'],
    ['{{(.A).B}} {{((len (.L)))}} {{1.5}} {{-3}} {{0x10}}', '1 2 1.5 -3 16'],
    ['{{range .Networks}}{{range .Aliases}}{{.}}{{end}}{{end}}', 'bc'],
    ['json', '{"Id":"x"'],
  ];
  for (const [text, want] of table) {
    const written = parseTemplate(text)(value);
    assert.equal(text === 'json' ? written.slice(0, want.length) : written, want, text);
  }
});

test('what is wrong is named with its place', () => {
  const table: [string, RegExp][] = [
    [
      '{{.Nope}}',
      /^template parsing error: template: :1:2: executing "" at <\.Nope>: map has no entry for key "Nope"; there are: Id, Name,/,
    ],
    ['a\n {{.A.Nope}}', /: :2:5: executing "" at <\.A\.Nope>: map has no entry for key "Nope"; there are: B, c\.d$/],
    ['{{.Id.x}}', /: :1:5: executing "" at <\.Id\.x>: can't evaluate field x in type string$/],
    ['{{.Nothing.x}}', /nil pointer evaluating interface \{\}\.x$/],
    ['{{.constructor}}', /has no entry for key "constructor"/],
    ['{{index .L 2}}', /: :1:2: executing "" at <index \.L 2>: error calling index: index out of range: 2$/],
    ['{{range .Id}}{{end}}', /range can't iterate over x$/],
    ['{{lower 1}}', /error calling lower: wrong type for value; expected string; got int$/],
    ['{{lower}}', /wrong number of args for lower: want 1 got 0$/],
    ['{{.Id 1}}', /can't give argument to non-function \.Id$/],
    ['{{eq 1 "1"}}', /incompatible types for comparison: int and string$/],
    ['{{Id}}', /: :1:2: function "Id" not defined; a field is \.Id$/],
    ['{{nope .}}', /: :1:2: function "nope" not defined; there are: json split /],
    ['{{end}}', /: :1:2: unexpected \{\{end\}\}$/],
    ['{{range .L}}', /: :1:2: \{\{range\}\} without \{\{end\}\}$/],
    ['{{if}}{{end}}', /missing value for if$/],
    ['{{}}', /missing value for command$/],
    ['{{.Id', /: :1:0: unclosed action: \}\} is missing$/],
    ['{{"a}}', /: :1:2: unterminated quoted string$/],
    ['{{(.Id}}', /unclosed left parenthesis$/],
    ['{{$x}}', /: :1:2: undefined variable "\$x"$/],
    ['{{if $x := 1}}{{end}}{{$x}}', /undefined variable/],
    ['{{"a""b"}}', /unexpected "\\"b\\"" in operand$/],
    ['{{break}}', /\{\{break\}\} outside \{\{range\}\}$/],
    ['{{/* x', /unclosed comment$/],
    ['{{define "x"}}{{end}}', /\{\{define\}\} is not supported here$/],
    ['{{1a}}', /bad number syntax$/],
    ['{{#}}', /unexpected "#" in an action$/],
    [`${'{{if .}}'.repeat(65)}`, /nested more than 64 deep$/],
    ['{{printf "%99999999d" 1}}', /wider than 1000$/],
    ['{{pad .Id 100000 0}}', /more than 1000$/],
  ];
  for (const [text, message] of table) {
    assert.throws(() => parseTemplate(text)(value), { name: 'Refusal', kind: 'invalid', message }, text);
  }
});

test('no template takes long, whatever it repeats', () => {
  const many = Array.from({ length: 1000 }, (_, i) => i);
  const loops = `${'{{range $.many}}'.repeat(8)}x${'{{end}}'.repeat(8)}`;
  for (const text of [loops, loops.replace('x', '')]) {
    assert.throws(() => parseTemplate(text)({ many }), /it takes more than 1000000 steps/);
  }
  const big = { text: 'x'.repeat(100_000), many };
  assert.throws(
    () => parseTemplate('{{range .many}}{{$.text}}{{end}}')(big),
    /it writes more than 16777216 characters/,
  );
});

const word = fc.constantFrom(
  ...['{{', '}}', '{{- ', ' -}}', ' ', '.', '.A', '.B', '$', '$x', ':=', '=', ',', '|', '(', ')', '"a"', '`b`', '1'],
  ...[
    'if',
    'else',
    'end',
    'range',
    'with',
    'break',
    'json',
    'index',
    'len',
    'eq',
    'printf',
    'and',
    'nil',
    'true',
    '\n',
  ],
);

test('any words make a template or are refused', () => {
  fc.assert(
    fc.property(fc.array(word, { maxLength: 24 }), (words) => {
      try {
        assert.equal(typeof parseTemplate(words.join(''))({ A: { B: [1, 'x'] }, B: new Map([['k', 'v']]) }), 'string');
      } catch (error) {
        assert.ok(error instanceof Refusal, String(error));
        assert.match(error.message, /^template parsing error: template: :\d+:\d+: /);
      }
    }),
    { numRuns: 2000 },
  );
});

test('text without actions, and any text as a constant, comes out as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (text) => {
      if (!text.includes('{{')) assert.equal(parseTemplate(`x${text}`)({}), `x${text}`);
      if (!text.includes('`')) assert.equal(parseTemplate(`{{\`${text}\`}}`)({}), text);
    }),
  );
});

test('json of any value reads back as that value', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (json) => {
      assert.deepEqual(JSON.parse(parseTemplate('{{json .}}')(json)), JSON.parse(JSON.stringify(json)));
    }),
  );
});
