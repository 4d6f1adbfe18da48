// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"expvar"
	"flag"
	"fmt"
	htmltemplate "html/template"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"text/template"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/secret"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const canary = "canary-7f3Kq9ZxW2pL-tail"

// needles are the forms in which the canary would be found in a leak.
var needles = makeNeedles(canary)

func makeNeedles(s string) map[string]string {
	b := []byte(s)
	list := strings.Trim(fmt.Sprint(b), "[]")
	golang := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b), "[]byte{"), "}")
	n := map[string]string{
		"text":                s,
		"part of the text":    s[7:20],
		"hex":                 hex.EncodeToString(b),
		"spaced hex":          fmt.Sprintf("% x", b),
		"decimal bytes":       list,
		"decimal bytes, json": strings.ReplaceAll(list, " ", ","),
		"go bytes":            golang,
	}
	for i := range 3 { // base64 depends on where in the input the text stands
		part := b[i : i+(len(b)-i)/3*3]
		n[fmt.Sprintf("base64 at %d", i)] = base64.RawStdEncoding.EncodeToString(part)
		n[fmt.Sprintf("url base64 at %d", i)] = base64.RawURLEncoding.EncodeToString(part)
	}
	return n
}

// leaks returns the names of the forms of the canary that are in out.
func leaks(out string) []string {
	var found []string
	for name, needle := range needles {
		if strings.Contains(strings.ToLower(out), strings.ToLower(needle)) {
			found = append(found, name)
		}
	}
	return found
}

func TestLeaksFindsEveryForm(t *testing.T) {
	for name, needle := range needles {
		assert.Contains(t, leaks("before "+needle+" after"), name)
	}
	assert.Contains(t, leaks(fmt.Sprintf("%X", canary)), "hex")
	assert.Empty(t, leaks("[secret]"))
}

type (
	exported   struct{ Token secret.Value }
	unexported struct{ token secret.Value }
	embedded   struct{ secret.Value }
	embeddedBy struct{ *secret.Value }
	pointers   struct{ token **secret.Value }
	anywhere   struct{ token any }
	collected  struct {
		byName map[string]secret.Value
		list   []secret.Value
		two    [2]secret.Value
	}
	tagged struct {
		Token secret.Value `json:"token" xml:"token,attr"`
	}
)

type shape struct {
	name    string
	value   any
	visible bool // an encoder that uses methods and exported fields reaches the Value: it has to fail
}

func shapes() []shape {
	v := secret.New(canary)
	p := &v
	key := rotation.Key{ID: "AK1", Generation: 2, Secret: v}
	return []shape{
		{"plain", v, true},
		{"pointer", p, true},
		{"pointer to a pointer", &p, true},
		{"exported field", exported{v}, true},
		{"pointer to exported field", &exported{v}, true},
		{"unexported field", unexported{v}, false},
		{"pointer to unexported field", &unexported{v}, false},
		{"tagged field", tagged{v}, true},
		{"embedded", embedded{v}, true},
		{"embedded pointer", embeddedBy{p}, true},
		{"unexported pointers", pointers{&p}, false},
		{"unexported interface", anywhere{v}, false},
		{"unexported collections", collected{map[string]secret.Value{"k": v}, []secret.Value{v}, [2]secret.Value{v, v}}, false},
		{"map", map[string]secret.Value{"k": v}, true},
		{"map of structs", map[string]unexported{"k": {v}}, false},
		{"slice", []secret.Value{v}, true},
		{"slice of structs", []unexported{{v}}, false},
		{"array", [2]secret.Value{v, v}, true},
		{"slice of any", []any{v, p, unexported{v}}, true},
		{"error", fmt.Errorf("login with %v: %w", v, errors.New("refused")), false},
		{"key", key, true},
		{"pointer to key", &key, true},
		{"stored key", rotation.StoredKey{Key: key, Role: rotation.RoleCurrent}, true},
		{"versions", rotation.Versions{Keys: []rotation.StoredKey{{Key: key}}}, true},
		{"pointer to versions", &rotation.Versions{Keys: []rotation.StoredKey{{Key: key}}}, true},
		{"issue request", rotation.IssueRequest{Current: key, Chosen: key}, true},
		{"deploy request", rotation.DeployRequest{Key: key}, true},
	}
}

type sink struct {
	name  string
	print func(v any) string
}

func sinks() []sink {
	all := []sink{
		{"Sprint", func(v any) string { return fmt.Sprint(v) }},
		{"Sprintln", func(v any) string { return fmt.Sprintln(v) }},
		{"json", encoded(func(b *bytes.Buffer, v any) error { return json.NewEncoder(b).Encode(v) })},
		{"json indented", encoded(func(b *bytes.Buffer, v any) error {
			data, err := json.MarshalIndent(v, "", " ")
			b.Write(data)
			return err
		})},
		{"xml", encoded(func(b *bytes.Buffer, v any) error { return xml.NewEncoder(b).Encode(v) })},
		{"gob", encoded(func(b *bytes.Buffer, v any) error { return gob.NewEncoder(b).Encode(v) })},
		{"slog text", logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) })},
		{"slog json", logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) })},
		{"log", func(v any) string {
			var b bytes.Buffer
			l := log.New(&b, "", log.LstdFlags)
			l.Print(v)
			l.Printf("%v %+v %#v", v, v, v)
			return b.String()
		}},
		{"text/template", encoded(func(b *bytes.Buffer, v any) error {
			return template.Must(template.New("t").Parse(`{{.}} {{printf "%#v" .}} {{print .}} {{html .}} {{js .}}`)).Execute(b, v)
		})},
		{"html/template", encoded(func(b *bytes.Buffer, v any) error {
			const page = `<a href="?q={{.}}" title="{{.}}" onclick="f({{.}})">{{.}}</a><script>var v = {{.}};</script>`
			return htmltemplate.Must(htmltemplate.New("t").Parse(page)).Execute(b, v)
		})},
		{"expvar", func(v any) string { return expvar.Func(func() any { return v }).String() }},
		{"testify diff", func(v any) string {
			var r recorder
			assert.Equal(&r, v, "something else")
			assert.Equal(&r, v, reflect.Zero(reflect.TypeOf(v)).Interface())
			assert.Nil(&r, v)
			assert.ElementsMatch(&r, []any{v}, []any{1})
			return r.out.String()
		}},
		{"reflection", func(v any) string {
			var b strings.Builder
			walk(&b, reflect.ValueOf(v), 0)
			return b.String()
		}},
	}
	for verb := 'A'; verb <= 'z'; verb++ {
		for _, flags := range []string{"", "+", "#", " ", "0", "-40.30", "+#"} {
			format := "%" + flags + string(verb)
			all = append(all, sink{format, func(v any) string { return fmt.Sprintf(format, v) }})
		}
	}
	return all
}

// encoded returns what was written and the text of the error: either may end up in a log.
func encoded(write func(b *bytes.Buffer, v any) error) func(any) string {
	return func(v any) string {
		var b bytes.Buffer
		err := write(&b, v)
		return b.String() + fmt.Sprint(err)
	}
}

func logged(handler func(*bytes.Buffer) slog.Handler) func(any) string {
	return func(v any) string {
		var b bytes.Buffer
		l := slog.New(handler(&b))
		l.Info("m", "v", v)
		l.With("v", v).WithGroup("g").Info("m", slog.Group("h", "v", v))
		return b.String()
	}
}

// recorder takes what testify would print about a failed assertion.
type recorder struct{ out strings.Builder }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(&r.out, format, args...) }

// walk writes everything that reflection can read of v, unexported fields included.
func walk(b *strings.Builder, v reflect.Value, depth int) {
	if depth > 20 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			walk(b, v.Elem(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			walk(b, v.Field(i), depth+1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			walk(b, it.Key(), depth+1)
			walk(b, it.Value(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			fmt.Fprintf(b, "%x ", v)
			return
		}
		for i := range v.Len() {
			walk(b, v.Index(i), depth+1)
		}
	case reflect.String:
		b.WriteString(v.String() + " ")
	default:
		fmt.Fprintf(b, "%v ", v)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	for _, sk := range sinks() {
		for _, sh := range shapes() {
			out := sk.print(sh.value)
			require.Empty(t, leaks(out), "%s of %s: %s", sk.name, sh.name, out)
		}
	}
}

func TestTheMatrixFindsAPlainString(t *testing.T) {
	type naked struct{ token string }
	type open struct{ Token string }
	for _, sk := range sinks() {
		switch sk.name {
		case "Sprint", "log", "slog text", "testify diff", "reflection", "%v", "%+v", "%#v", "%s", "%q", "%x", "%X":
			assert.NotEmpty(t, leaks(sk.print(naked{canary})), sk.name)
		case "json", "xml", "expvar":
			assert.NotEmpty(t, leaks(sk.print(open{canary})), sk.name)
		case "slog json", "gob", "html/template", "text/template":
			assert.NotEmpty(t, leaks(sk.print(canary)), sk.name)
		}
	}
}

func TestMarshallingFails(t *testing.T) {
	for _, sh := range shapes() {
		if !sh.visible {
			continue
		}
		_, err := json.Marshal(sh.value)
		require.ErrorIs(t, err, secret.ErrMarshal, "json of %s", sh.name)

		var b bytes.Buffer
		require.Error(t, gob.NewEncoder(&b).Encode(sh.value), "gob of %s", sh.name)
		require.Error(t, xml.NewEncoder(&b).Encode(sh.value), "xml of %s", sh.name)
	}
	v := secret.New(canary)
	for _, shape := range []any{v, exported{v}, &exported{v}, []secret.Value{v}, rotation.Key{Secret: v}} {
		var b bytes.Buffer
		require.ErrorIs(t, gob.NewEncoder(&b).Encode(shape), secret.ErrMarshal, "gob of %T", shape)
	}
	for _, shape := range []any{v, exported{v}, tagged{v}, []secret.Value{v}} {
		var b bytes.Buffer
		require.ErrorIs(t, xml.NewEncoder(&b).Encode(shape), secret.ErrMarshal, "xml of %T", shape)
	}
}

func TestFlagShowsNoDefault(t *testing.T) {
	var out bytes.Buffer
	var v secret.Value
	set := flag.NewFlagSet("f", flag.ContinueOnError)
	set.SetOutput(&out)
	set.TextVar(&v, "token", secret.New(canary), "the `token`")
	set.PrintDefaults()
	require.Error(t, set.Parse([]string{"-unknown"}))
	require.Empty(t, leaks(out.String()), out.String())

	require.NoError(t, set.Parse([]string{"-token", canary}))
	require.Equal(t, canary, v.Reveal())
	set.VisitAll(func(f *flag.Flag) { require.Empty(t, leaks(f.Value.String()+f.DefValue)) })
}

// A panic prints its value without package fmt, and only a process that dies shows it.
func TestPanicPrintsNoSecret(t *testing.T) {
	const variable = "HANDOVER_TEST_PANIC"
	if name := os.Getenv(variable); name != "" {
		for _, sh := range shapes() {
			if sh.name == name {
				panic(sh.value)
			}
		}
		return
	}
	for _, name := range []string{"plain", "pointer", "unexported field", "embedded", "unexported interface", "key", "error"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestPanicPrintsNoSecret$")
		cmd.Env = append(os.Environ(), variable+"="+name, "GOTRACEBACK=all")
		out, err := cmd.CombinedOutput()
		require.Error(t, err, name)
		require.Contains(t, string(out), "panic: ", name)
		require.Empty(t, leaks(string(out)), "%s: %s", name, out)
	}
}
