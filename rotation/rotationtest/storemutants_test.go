// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

package rotationtest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/rotation"
	"github.com/handover-go/handover/rotation/rotationtest"
	"github.com/handover-go/handover/secret"
)

func storeMutants() map[string]storeMutant {
	all := map[string]storeMutant{}
	add := func(clause, what string, build func(*rotationtest.Store) rotation.SecretStore) {
		all[clause+" "+what] = storeMutant{clause: clause, build: build}
	}
	leaves := func(clause, what string, build func(*rotationtest.Store) rotation.SecretStore) {
		all[clause+" "+what] = storeMutant{clause: clause, build: build, leaves: true}
	}
	mutantsOfLoad(add, leaves)
	mutantsOfFields(add)
	mutantsOfSave(add, leaves)
	mutantsOfCompare(add, leaves)
	add("Names", "nothing", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, names: func([]string) []string { return nil }}
	})
	add("Names", "twice", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, names: func(names []string) []string { return append(names, names...) }}
	})
	add("Names", "what was only asked for", func(s *rotationtest.Store) rotation.SecretStore {
		var asked []string
		return badStore{
			Store: s,
			load: func(ctx context.Context, name string) (rotation.Versions, error) {
				if !slices.Contains(asked, name) {
					asked = append(asked, name)
				}
				return s.Load(ctx, name)
			},
			names: func([]string) []string { return asked },
		}
	})
	return all
}

type addStore func(clause, what string, build func(*rotationtest.Store) rotation.SecretStore)

func mutantsOfLoad(add, leaves addStore) {
	absent := func(what string, answer func() (rotation.Versions, error)) {
		add("S1", what, func(s *rotationtest.Store) rotation.SecretStore {
			return badStore{Store: s, load: func(ctx context.Context, name string) (rotation.Versions, error) {
				v, err := s.Load(ctx, name)
				if err == nil && v.Revision == "" {
					return answer()
				}
				return v, err
			}}
		})
	}
	absent("absent is an error", func() (rotation.Versions, error) { return rotation.Versions{}, rotation.ErrNotFound })
	absent("absent has a revision", func() (rotation.Versions, error) { return rotation.Versions{Revision: "r0"}, nil })
	absent("absent has a key", func() (rotation.Versions, error) {
		return rotation.Versions{Keys: []rotation.StoredKey{{Role: rotation.RoleCurrent}}}, nil
	})
	leaves("S1", "stale", func(s *rotationtest.Store) rotation.SecretStore {
		previous := map[string]rotation.Versions{}
		return badStore{
			Store: s,
			load: func(ctx context.Context, name string) (rotation.Versions, error) {
				v, err := s.Load(ctx, name)
				if old, ok := previous[name]; ok {
					old.Revision = v.Revision // so that Save goes on
					return old, err
				}
				return v, err
			},
			save: func(ctx context.Context, name string, v rotation.Versions) error {
				old, err := s.Load(ctx, name)
				if err == nil && old.Revision != "" {
					previous[name] = old
				}
				return errors.Join(err, s.Save(ctx, name, v))
			},
		}
	})
	add("S1", "no revision", func(s *rotationtest.Store) rotation.SecretStore {
		real := map[string]string{}
		return badStore{
			Store: s,
			load: func(ctx context.Context, name string) (rotation.Versions, error) {
				v, err := s.Load(ctx, name)
				real[name], v.Revision = v.Revision, ""
				return v, err
			},
			save: func(ctx context.Context, name string, v rotation.Versions) error {
				v.Revision = real[name]
				return s.Save(ctx, name, v)
			},
		}
	})
}

func mutantsOfFields(add addStore) {
	loses := func(field string, lose func(*rotation.StoredKey)) {
		add("S2", "loses "+field, func(s *rotationtest.Store) rotation.SecretStore {
			return changes(s, func(v *rotation.Versions) {
				for i := range v.Keys {
					lose(&v.Keys[i])
				}
			})
		})
	}
	loses("Compromised", func(k *rotation.StoredKey) { k.Compromised = false })
	loses("ID", func(k *rotation.StoredKey) { k.Key.ID = "" })
	loses("Serial", func(k *rotation.StoredKey) { k.Key.Serial = 0 })
	loses("Serial's last digits", func(k *rotation.StoredKey) { k.Key.Serial = int64(float64(k.Key.Serial)) })
	loses("Generation", func(k *rotation.StoredKey) { k.Key.Generation = 0 })
	loses("Name", func(k *rotation.StoredKey) { k.Key.Name = "" })
	loses("Secret", func(k *rotation.StoredKey) { k.Key.Secret = secret.Value{} })
	loses("Attributes", func(k *rotation.StoredKey) { k.Key.Attributes = nil })
	loses("IssuedAt", func(k *rotation.StoredKey) { k.Key.IssuedAt = time.Time{} })
	loses("milliseconds", func(k *rotation.StoredKey) { k.Key.IssuedAt = k.Key.IssuedAt.Truncate(time.Second) })
	loses("ExpiresAt", func(k *rotation.StoredKey) { k.Key.ExpiresAt = time.Time{} })
	loses("zero ExpiresAt", func(k *rotation.StoredKey) {
		if k.Key.ExpiresAt.IsZero() {
			k.Key.ExpiresAt = time.Unix(0, 0)
		}
	})
	loses("Role", func(k *rotation.StoredKey) {
		if k.Role == rotation.RoleRetiring {
			k.Role = rotation.RolePrevious
		}
	})
	value := func(what string, change func(string) string) {
		loses(what, func(k *rotation.StoredKey) { k.Key.Secret = secret.New(change(k.Key.Secret.Reveal())) })
	}
	value("spaces at the ends", strings.TrimSpace)
	value("the last line end", func(s string) string { return strings.TrimSuffix(s, "\n") })
	value("long values", func(s string) string { return s[:min(len(s), 4096)] })
	value("quotes", func(s string) string { return strings.ReplaceAll(s, `"`, `'`) })
	value("variables", func(s string) string { return strings.ReplaceAll(s, "$", "") })
	value("what is not ASCII", func(s string) string { return strings.ToValidUTF8(strings.ReplaceAll(s, "é", "e"), "") })

	whole := func(what string, lose func(*rotation.Versions)) {
		add("S2", "loses "+what, func(s *rotationtest.Store) rotation.SecretStore { return changes(s, lose) })
	}
	whole("Stamp", func(v *rotation.Versions) { v.Stamp = "" })
	whole("Metadata", func(v *rotation.Versions) { v.Metadata = nil })
	whole("a fourth key", func(v *rotation.Versions) { v.Keys = v.Keys[:min(len(v.Keys), 3)] })
	whole("an empty state", func(v *rotation.Versions) {
		if len(v.Keys) == 0 {
			v.Keys = []rotation.StoredKey{{Role: rotation.RoleCurrent}}
		}
	})
}

func mutantsOfSave(add, leaves addStore) {
	leaves("S2", "keeps what is not there any more", func(s *rotationtest.Store) rotation.SecretStore {
		return writes(s, func(old, v rotation.Versions) rotation.Versions {
			for _, k := range old.Keys {
				if !slices.ContainsFunc(v.Keys, func(n rotation.StoredKey) bool { return n.Key.Serial == k.Key.Serial }) {
					v.Keys = append(slices.Clip(v.Keys), k)
				}
			}
			return v
		})
	})
	leaves("S2", "an empty state is not written", func(s *rotationtest.Store) rotation.SecretStore {
		return writes(s, func(old, v rotation.Versions) rotation.Versions {
			if len(v.Keys) == 0 {
				v.Keys = old.Keys
			}
			return v
		})
	})
	add("S2", "shares what it was given", func(*rotationtest.Store) rotation.SecretStore {
		return &shared{entries: map[string]rotation.Versions{}, out: true}
	})
	add("S2", "shares what it gives", func(*rotationtest.Store) rotation.SecretStore {
		return &shared{entries: map[string]rotation.Versions{}, in: true}
	})
	add("S2", "one document for all names", func(s *rotationtest.Store) rotation.SecretStore {
		one := func(name string) string {
			if strings.Contains(name, "-absent-") {
				return name
			}
			return "one"
		}
		return badStore{
			Store: s,
			load:  func(ctx context.Context, name string) (rotation.Versions, error) { return s.Load(ctx, one(name)) },
			save:  func(ctx context.Context, name string, v rotation.Versions) error { return s.Save(ctx, one(name), v) },
		}
	})
	add("S2", "half of an interrupted Save", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			err := ctx.Err()
			if err != nil {
				v.Keys = v.Keys[:1]
			}
			return errors.Join(err, s.Save(context.WithoutCancel(ctx), name, v))
		}}
	})
	add("S2", "success without a write", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if ctx.Err() != nil {
				return nil
			}
			return s.Save(ctx, name, v)
		}}
	})
	add("S4", "the newest is current", func(s *rotationtest.Store) rotation.SecretStore {
		return changes(s, func(v *rotation.Versions) {
			if len(v.Keys) == 2 && v.Keys[0].Role == rotation.RolePending {
				v.Keys[0].Role, v.Keys[1].Role = rotation.RoleCurrent, rotation.RolePrevious
			}
		})
	})
	add("S4", "loses the promotion", func(s *rotationtest.Store) rotation.SecretStore {
		return writes(s, func(old, v rotation.Versions) rotation.Versions {
			if len(old.Keys) == 2 && len(v.Keys) == 2 {
				v.Keys = old.Keys
			}
			return v
		})
	})
}

func mutantsOfCompare(add, leaves addStore) {
	force := func(s *rotationtest.Store, only func(v rotation.Versions) bool) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			for {
				err := s.Save(ctx, name, v)
				if !errors.Is(err, rotation.ErrConflict) || !only(v) {
					return err
				}
				old, err := s.Load(ctx, name)
				if err != nil {
					return err
				}
				v.Revision = old.Revision
			}
		}}
	}
	leaves("S3", "the last write wins", func(s *rotationtest.Store) rotation.SecretStore {
		return force(s, func(rotation.Versions) bool { return true })
	})
	leaves("S3", "no revision, no comparison", func(s *rotationtest.Store) rotation.SecretStore {
		return force(s, func(v rotation.Versions) bool { return v.Revision == "" })
	})
	leaves("S3", "creates at any revision", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if old, err := s.Load(ctx, name); err != nil || old.Revision == "" {
				v.Revision = ""
			}
			return s.Save(ctx, name, v)
		}}
	})
	add("S3", "another error", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if err := s.Save(ctx, name, v); err != nil {
				return fmt.Errorf("409: %v", err)
			}
			return nil
		}}
	})
	add("S3", "writes and says ErrConflict", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			err := s.Save(ctx, name, v)
			if errors.Is(err, rotation.ErrConflict) {
				old, _ := s.Load(ctx, name)
				v.Revision = old.Revision
				_ = s.Save(ctx, name, v)
			}
			return err
		}}
	})
	add("S3", "moves the revision and says ErrConflict", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			err := s.Save(ctx, name, v)
			if old, _ := s.Load(ctx, name); errors.Is(err, rotation.ErrConflict) && old.Revision != "" {
				_ = s.Save(ctx, name, old)
			}
			return err
		}}
	})
	add("S3", "does not say that it compares", func(s *rotationtest.Store) rotation.SecretStore { return bare{s} })
	add("S3", "says that it does not compare", func(s *rotationtest.Store) rotation.SecretStore { return silent{s, false} })
	add("S3", "compares and then writes", func(s *rotationtest.Store) rotation.SecretStore {
		inner := force(s, func(rotation.Versions) bool { return true })
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if old, err := s.Load(ctx, name); err != nil || v.Revision == "" || old.Revision != v.Revision {
				return errors.Join(err, s.Save(ctx, name, v))
			}
			time.Sleep(time.Millisecond)
			return inner.Save(ctx, name, v)
		}}
	})
	add("S3", "compares and then creates", func(s *rotationtest.Store) rotation.SecretStore {
		inner := force(s, func(rotation.Versions) bool { return true })
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if old, err := s.Load(ctx, name); err != nil || v.Revision != "" || old.Revision != "" {
				return errors.Join(err, s.Save(ctx, name, v))
			}
			time.Sleep(time.Millisecond)
			return inner.Save(ctx, name, v)
		}}
	})
	add("S3", "nobody wins", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if len(v.Keys) == 1 && v.Keys[0].Key.Serial >= 100 && v.Keys[0].Key.Serial < 200 {
				return rotation.ErrConflict
			}
			return s.Save(ctx, name, v)
		}}
	})
	add("S3", "tells the wrong writer", func(s *rotationtest.Store) rotation.SecretStore {
		return badStore{Store: s, save: func(ctx context.Context, name string, v rotation.Versions) error {
			if len(v.Keys) == 1 && v.Keys[0].Key.Serial >= 100 && v.Keys[0].Key.Serial < 200 {
				v.Keys = slices.Clone(v.Keys)
				v.Keys[0].Key.ID = "another writer's"
			}
			return s.Save(ctx, name, v)
		}}
	})
}
