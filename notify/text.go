// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"fmt"
	"strings"
	"text/template"

	"github.com/handover-go/handover/rotation"
)

// Text is the wording of a notice. Nil is the default one: what happened, what to do, which credential, who. It is safe for
// concurrent use.
type Text struct{ subject, body *template.Template }

const (
	defaultSubject = `{{.Headline}}`
	defaultBody    = `{{with .Happened}}What happened: {{.}}
{{end}}{{with .Evidence}}{{if lacks $.Happened .}}
Seen: {{.}}
{{end}}{{end}}{{with .Action}}
What to do: {{.}}
{{end}}{{with .Answers}}Possible answers: {{.}}
{{end}}
Credential: {{.Credential}}
{{with .Consumer}}Consumer: {{.}}
{{end}}{{with .Need}}Need: {{.}}
{{end}}{{with .Diagnosis}}Diagnosis: {{.}}
{{end}}{{with .Incident}}Incident: {{.}}
{{end}}{{with .Rotation}}Rotation: {{.}} ({{$.Strategy}}, {{$.Phase}}, generation {{$.Generation}})
{{end}}{{with .Contact}}Contact: {{.}}
{{end}}{{with .Actor}}Actor: {{.}}
{{end}}Time: {{.Time}}
Event: {{.ID}} ({{.Kind}}, {{.Level}})
`
)

var defaultText = &Text{subject: must("subject", defaultSubject), body: must("body", defaultBody)}

func must(name, source string) *template.Template {
	return template.Must(template.New(name).Funcs(template.FuncMap{
		"lacks": func(text, part string) bool { return !strings.Contains(text, part) },
	}).Parse(source))
}

// NewText makes a Text of two templates (see text/template) that are executed on a [Message]; an empty one is the default's. The
// subject becomes one line. A template that does not parse, or uses a field that a Message does not have, is an error here. One
// that fails with an event nevertheless is replaced by the default: somebody has to be told.
//
// For a chat the fields are escaped before the template sees them, and what the template itself says is left as it is: it can
// mention people, with "<!here>".
func NewText(subject, body string) (*Text, error) {
	t := *defaultText
	var err error
	if subject != "" {
		if t.subject, err = parse("subject", subject); err != nil {
			return nil, err
		}
	}
	if body != "" {
		if t.body, err = parse("body", body); err != nil {
			return nil, err
		}
	}
	return &t, nil
}

// parse tries the template on what events have, and on nothing.
func parse(name, source string) (*template.Template, error) {
	t, err := template.New(name).Parse(source)
	if err != nil {
		return nil, fmt.Errorf("notify: NewText: %w", err)
	}
	sample := rotation.Event{Credential: "c", Consumer: "s", Problem: &rotation.Error{Diagnosis: rotation.Drift, Evidence: "e", Action: "a"}}
	for _, e := range []rotation.Event{sample, {}} {
		if err := t.Execute(&strings.Builder{}, MessageOf(e)); err != nil {
			return nil, fmt.Errorf("notify: NewText: %w", err)
		}
	}
	return t, nil
}

// Render returns the texts for an event, as plain text: for a sink of your own.
func (t *Text) Render(e rotation.Event) (subject, body string) { return t.render(plain, e) }

func (t *Text) render(s style, e rotation.Event) (subject, body string) {
	if t == nil || t.subject == nil || t.body == nil {
		t = defaultText
	}
	m := s.message(e)
	subject = execute(t.subject, defaultText.subject, m)
	body = execute(t.body, defaultText.body, m)
	return cut(strings.Join(strings.Fields(subject), " "), 2*s.line), body // the fields are clean, and escaped
}

func execute(t, otherwise *template.Template, m Message) string {
	var b strings.Builder
	if err := t.Execute(&b, m); err != nil {
		b.Reset()
		_ = otherwise.Execute(&b, m) // it is ours, and fails for no Message
	}
	return b.String()
}
