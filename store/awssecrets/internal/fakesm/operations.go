// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package fakesm

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

func refuse(code, detail string) *Failure { return &Failure{Code: code, Detail: detail} }

func word(in map[string]any, field string) string {
	s, _ := in[field].(string)
	return s
}

// run does one operation. The caller has the lock.
func (s *Server) run(op string, in map[string]any) (map[string]any, *Failure) {
	switch op {
	case "CreateSecret":
		return s.create(in)
	case "ListSecrets":
		return s.list(in), nil
	}
	name := word(in, "SecretId")
	if rest, ok := strings.CutPrefix(name, arn("")); ok {
		name = rest
	}
	sec := s.secrets[name]
	if sec == nil {
		return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	if op == "DescribeSecret" {
		return sec.describe(name), nil
	}
	if sec.Deleted {
		return nil, refuse("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	switch op {
	case "GetSecretValue":
		return sec.get(name, in)
	case "PutSecretValue":
		if sec.PrimaryRegion != "" {
			return nil, refuse("InvalidRequestException", "Operation not permitted on a replica secret.")
		}
		return s.put(sec, name, in)
	case "UpdateSecretVersionStage":
		if sec.PrimaryRegion != "" {
			return nil, refuse("InvalidRequestException", "Operation not permitted on a replica secret.")
		}
		return sec.update(name, in)
	}
	return nil, refuse("UnknownOperationException", op)
}

func arn(name string) string { return "arn:aws:secretsmanager:eu-west-1:123456789012:secret:" + name }

func (s *Server) create(in map[string]any) (map[string]any, *Failure) {
	name := word(in, "Name")
	if !goodName(name) {
		return nil, refuse("ValidationException", "Invalid name.")
	}
	if sec := s.secrets[name]; sec != nil {
		if sec.Deleted {
			return nil, refuse("InvalidRequestException", "a secret with this name is already scheduled for deletion.")
		}
		return nil, refuse("ResourceExistsException", "The operation failed because the secret already exists.")
	}
	sec := s.make(name)
	out := map[string]any{"ARN": arn(name), "Name": name}
	if _, ok := in["SecretString"]; ok {
		put, err := s.put(sec, name, in)
		if err != nil {
			delete(s.secrets, name)
			return nil, err
		}
		out["VersionId"] = put["VersionId"]
	}
	return out, nil
}

func goodName(name string) bool {
	return name != "" && len(name) <= 512 && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+=.@-", r)
	})
}

func (s *Server) list(in map[string]any) map[string]any {
	prefix := ""
	if filters, ok := in["Filters"].([]any); ok && len(filters) > 0 {
		if f, ok := filters[0].(map[string]any); ok {
			if values, ok := f["Values"].([]any); ok && len(values) > 0 {
				prefix, _ = values[0].(string)
			}
		}
	}
	var names []string
	for name, sec := range s.secrets {
		if !sec.Deleted && strings.HasPrefix(strings.ToLower(name), strings.ToLower(prefix)) && name > word(in, "NextToken") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const page = 2 // so that whoever reads one page only is seen
	out := map[string]any{}
	if len(names) > page {
		names = names[:page]
		out["NextToken"] = names[page-1]
	}
	entries := []any{}
	for _, name := range names {
		entries = append(entries, map[string]any{"ARN": arn(name), "Name": name})
	}
	out["SecretList"] = entries
	return out
}

func (sec *Secret) describe(name string) map[string]any {
	stages := map[string][]string{}
	for id, v := range sec.versions {
		if len(v.stages) > 0 {
			stages[id] = v.stages
		}
	}
	out := map[string]any{"ARN": arn(name), "Name": name, "VersionIdsToStages": stages, "RotationEnabled": sec.Rotates}
	if sec.Deleted {
		out["DeletedDate"] = float64(time.Now().Unix())
	}
	if sec.PrimaryRegion != "" {
		out["PrimaryRegion"] = sec.PrimaryRegion
	}
	if sec.Owner != "" {
		out["OwningService"] = sec.Owner
	}
	return out
}

func (sec *Secret) get(name string, in map[string]any) (map[string]any, *Failure) {
	id := word(in, "VersionId")
	if id == "" {
		stage := word(in, "VersionStage")
		if stage == "" {
			stage = "AWSCURRENT"
		}
		id = sec.holder(stage)
	}
	v := sec.versions[id]
	if v == nil || v.empty {
		return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+id)
	}
	out := map[string]any{"ARN": arn(name), "Name": name, "VersionId": id, "VersionStages": v.stages}
	if v.text != nil {
		out["SecretString"] = *v.text
	} else {
		out["SecretBinary"] = base64.StdEncoding.EncodeToString(v.binary)
	}
	return out, nil
}

func (s *Server) put(sec *Secret, name string, in map[string]any) (map[string]any, *Failure) {
	id, text := word(in, "ClientRequestToken"), word(in, "SecretString")
	if len(id) < 32 || len(id) > 64 || text == "" || len(text) > 65536 {
		return nil, refuse("InvalidParameterException", "a parameter is not valid")
	}
	v := sec.versions[id]
	if v != nil && !v.empty {
		if v.text == nil || !bytes.Equal([]byte(*v.text), []byte(text)) {
			return nil, refuse("ResourceExistsException", "You can't modify an existing version, you can only create new ones.")
		}
		return map[string]any{"ARN": arn(name), "Name": name, "VersionId": id, "VersionStages": v.stages}, nil
	}
	stages := []string{"AWSCURRENT"}
	if named, ok := in["VersionStages"].([]any); ok {
		stages = nil
		for _, n := range named {
			stage, _ := n.(string)
			stages = append(stages, stage)
		}
	}
	if sec.holder("AWSCURRENT") == "" && !slices.Contains(stages, "AWSCURRENT") {
		stages = append(stages, "AWSCURRENT") // the first version
	}
	if s.Versions > 0 && sec.kept() >= s.Versions {
		return nil, refuse("LimitExceededException", "the quota for secret versions was reached")
	}
	if v == nil {
		v = &version{created: time.Now()}
		sec.versions[id] = v
	}
	v.text, v.empty = &text, false
	for _, stage := range stages {
		sec.move(stage, id)
	}
	return map[string]any{"ARN": arn(name), "Name": name, "VersionId": id, "VersionStages": v.stages}, nil
}

// kept are the versions that Secrets Manager does not remove.
func (sec *Secret) kept() int {
	n := 0
	for _, v := range sec.versions {
		if len(v.stages) > 0 || time.Since(v.created) < 24*time.Hour {
			n++
		}
	}
	return n
}

func (sec *Secret) update(name string, in map[string]any) (map[string]any, *Failure) {
	stage, from, to := word(in, "VersionStage"), word(in, "RemoveFromVersionId"), word(in, "MoveToVersionId")
	holder := sec.holder(stage)
	switch {
	case stage == "" || from == "" && to == "":
		return nil, refuse("InvalidParameterException", "a parameter is missing")
	case from != "" && from != holder:
		return nil, refuse("InvalidParameterException", "The staging label isn't attached to the version that it is to be removed from.")
	case to != "" && from == "" && holder != "" && holder != to:
		return nil, refuse("InvalidParameterException", "The parameter RemoveFromVersionId can't be empty. The staging label is attached to another version.")
	case to == "" && stage == "AWSCURRENT":
		return nil, refuse("InvalidParameterException", "You can't remove AWSCURRENT, you can only move it.")
	case to != "" && sec.versions[to] == nil:
		return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the version.")
	}
	sec.move(stage, to)
	return map[string]any{"ARN": arn(name), "Name": name}, nil
}
