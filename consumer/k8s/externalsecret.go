// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package k8s

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/handover-go/handover/rotation"
)

// forceSync is the annotation that the operator's documentation uses: any change of an annotation makes it synchronise. Its value
// is the key and when it was asked for.
const forceSync = "force-sync"

// ExternalSecretConfig says which ExternalSecret is synchronised, and what its Secret must hold then.
type ExternalSecretConfig struct {
	Client    kubernetes.Interface // required: reads the Secret
	Dynamic   dynamic.Interface    // required: reads and annotates the ExternalSecret
	Namespace string               // required
	Name      string               // required
	Version   string               // of external-secrets.io; empty: "v1"

	// Field is required: the data key of the Secret that has the key's value when it is synchronised.
	Field string

	// Fields are the attributes of a key and the data keys that have them. All are checked that a key has; without Fields it is
	// Field alone, and of a key of several parts the others may still be old.
	Fields map[string]string

	Again time.Duration // how long after a synchronisation that did not bring the key the next one is asked for; zero: 10 s
}

// ExternalSecret has the External Secrets Operator copy a key from the store into a Secret, and sees that it is there. It is a
// rotation.Consumer, Checker and Identifier for RolloutConfig.Before or CronJobConfig.Before: a Secret runs nothing, and is no proof
// that anybody uses the key. It comes from NewExternalSecret, remembers nothing, and is safe for concurrent use.
type ExternalSecret struct {
	cfg      ExternalSecretConfig
	resource schema.GroupVersionResource
	host     string
}

var (
	_ rotation.Consumer   = (*ExternalSecret)(nil)
	_ rotation.Checker    = (*ExternalSecret)(nil)
	_ rotation.Identifier = (*ExternalSecret)(nil)
)

// NewExternalSecret returns an ExternalSecret, or an error that names every field that is missing or wrong. It does no I/O.
func NewExternalSecret(cfg ExternalSecretConfig) (*ExternalSecret, error) {
	cfg.Version, cfg.Again, cfg.Fields = cmp.Or(cfg.Version, "v1"), cmp.Or(cfg.Again, 10*time.Second), maps.Clone(cfg.Fields)
	errs := []error{place("ExternalSecretConfig", cfg.Client, cfg.Namespace, cfg.Name)}
	if cfg.Dynamic == nil {
		errs = append(errs, failf(nil, "ExternalSecretConfig.Dynamic is required"))
	}
	for _, f := range append(slices.Sorted(maps.Values(cfg.Fields)), cfg.Field) {
		if len(validation.IsConfigMapKey(f)) > 0 {
			errs = append(errs, failf(nil, "ExternalSecretConfig.Field or .Fields: %q is no key of a Secret's data", f))
		}
	}
	if cfg.Again < 0 {
		errs = append(errs, failf(nil, "ExternalSecretConfig.Again is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &ExternalSecret{cfg, schema.GroupVersionResource{Group: "external-secrets.io", Version: cfg.Version, Resource: "externalsecrets"}, hostOf(cfg.Client)}, nil
}

func (e *ExternalSecret) what() string {
	return Workload{"ExternalSecret", e.cfg.Namespace, e.cfg.Name}.String()
}

// Identity is the ExternalSecret and the API server's address.
func (e *ExternalSecret) Identity() string { return e.what() + " at " + e.host }

// Deploy returns nil when the ExternalSecret's spec has been synchronised as it is now and its Secret holds the key, each mapped
// field of it. Until then it asks for a synchronisation, and the error matches rotation.ErrNotYet.
//
// Other errors: the operator says that it cannot synchronise (its reason is told, not its message), or never will
// (refreshPolicy CreatedOnce, refreshInterval 0).
func (e *ExternalSecret) Deploy(ctx context.Context, req rotation.DeployRequest) error {
	if err := (arrival{credential: req.Credential}).refuse(ctx, e.what(), req); err != nil {
		return err
	}
	found, err := e.get(ctx)
	if err != nil {
		return err
	}
	s := readSync(found)
	if s.never != "" {
		return failf(nil, "%s: %s", e.what(), s.never)
	}
	has, err := e.has(ctx, s.target, req.Key)
	switch {
	case err != nil:
		return err
	case has && s.ofSpec:
		return nil
	case has:
		return failf([]error{rotation.ErrNotYet}, "%s: the operator has not synchronised its spec of now", e.what())
	}
	return e.ask(ctx, found, s, req.Key)
}

// ask asks for a synchronisation, unless one is under way.
func (e *ExternalSecret) ask(ctx context.Context, found *unstructured.Unstructured, s synced, key rotation.Key) error {
	id, at := asked(found.GetAnnotations()[forceSync])
	mine := id == strconv.FormatInt(key.Serial, 10)
	came := mine && !s.at.Before(at)
	switch {
	case mine && s.trouble != "":
		if came || time.Since(at) < e.cfg.Again {
			return failf(nil, "%s: the operator cannot synchronise it (%s)", e.what(), s.trouble)
		}
	case mine && !came && time.Since(at) < e.cfg.Again:
		return failf([]error{rotation.ErrNotYet}, "%s: it is to be synchronised", e.what())
	case came && time.Since(s.at) < e.cfg.Again:
		return failf([]error{rotation.ErrNotYet}, "%s: it was synchronised, and its Secret does not hold %v", e.what(), key)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": found.GetResourceVersion(),
		"annotations":     map[string]string{forceSync: strconv.FormatInt(key.Serial, 10) + "-" + strconv.FormatInt(time.Now().Unix(), 10)},
	}})
	if err != nil {
		return err
	}
	_, err = e.cfg.Dynamic.Resource(e.resource).Namespace(e.cfg.Namespace).Patch(ctx, e.cfg.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if err != nil && !apierrors.IsConflict(err) { // a conflict: somebody changed it meanwhile
		return failed("patch", e.what(), err)
	}
	return failf([]error{rotation.ErrNotYet}, "%s: it is to be synchronised", e.what())
}

func asked(value string) (id string, at time.Time) {
	id, seconds, _ := strings.Cut(value, "-")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", time.Time{}
	}
	return id, time.Unix(n, 0)
}

// has reports whether the Secret holds every mapped field of key.
func (e *ExternalSecret) has(ctx context.Context, name string, key rotation.Key) (bool, error) {
	found, err := e.cfg.Client.CoreV1().Secrets(e.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, failed("get", "Secret "+e.cfg.Namespace+"/"+name, err)
	}
	has := string(found.Data[e.cfg.Field]) == key.Secret.Reveal()
	for attribute, field := range e.cfg.Fields {
		want, ok := key.Attributes[attribute]
		has = has && (!ok || string(found.Data[field]) == want)
	}
	return has, nil
}

func (e *ExternalSecret) get(ctx context.Context) (*unstructured.Unstructured, error) {
	found, err := e.cfg.Dynamic.Resource(e.resource).Namespace(e.cfg.Namespace).Get(ctx, e.cfg.Name, metav1.GetOptions{})
	if err != nil {
		return nil, failed("get", e.what(), err)
	}
	return found, nil
}

// Check fails if there is no such ExternalSecret, if it never synchronises again, or if a verb is not granted. It changes nothing.
func (e *ExternalSecret) Check(ctx context.Context) error {
	found, err := e.get(ctx)
	if err != nil {
		return errors.Join(err, e.may(ctx))
	}
	if s := readSync(found); s.never != "" {
		return failf(nil, "%s: %s", e.what(), s.never)
	}
	return e.may(ctx)
}

func (e *ExternalSecret) may(ctx context.Context) error {
	return granted(ctx, e.cfg.Client, e.cfg.Namespace,
		right{"get", e.resource.Group, "externalsecrets", e.cfg.Name}, right{"patch", e.resource.Group, "externalsecrets", e.cfg.Name},
		right{"get", "", "secrets", ""})
}

// synced is what an ExternalSecret tells of itself.
type synced struct {
	target  string
	never   string    // why it will not synchronise; empty: it will
	ofSpec  bool      // the last synchronisation was of the spec as it is
	at      time.Time // of the last synchronisation
	trouble string    // reason of the condition Ready, if that is false
}

func readSync(es *unstructured.Unstructured) synced {
	text := func(path ...string) string {
		s, _, _ := unstructured.NestedString(es.Object, path...)
		return s
	}
	s := synced{target: cmp.Or(text("spec", "target", "name"), es.GetName())}
	version := text("status", "syncedResourceVersion") // generation, "-", digest of labels and annotations
	s.ofSpec = strings.HasPrefix(version, strconv.FormatInt(es.GetGeneration(), 10)+"-")
	s.at, _ = time.Parse(time.RFC3339, text("status", "refreshTime"))
	policy := text("spec", "refreshPolicy")
	interval, err := time.ParseDuration(text("spec", "refreshInterval"))
	switch {
	case policy == "CreatedOnce":
		s.never = "its refreshPolicy is CreatedOnce, and it will not take another key"
	case policy != "OnChange" && err == nil && interval <= 0:
		s.never = "its refreshInterval is 0, and it will not take another key unless its refreshPolicy is OnChange"
	}
	conditions, _, _ := unstructured.NestedSlice(es.Object, "status", "conditions")
	for _, c := range conditions {
		c, _ := c.(map[string]any)
		if c["type"] == "Ready" && c["status"] == "False" {
			reason, _ := c["reason"].(string)
			s.trouble = cmp.Or(reason, "no reason told")
		}
	}
	return s
}
