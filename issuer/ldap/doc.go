// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Package ldap rotates the password of one entry of an LDAP directory: [Issuer] adds a second userPassword value beside the one in use,
// and deletes the old one when nobody presents it any more.
//
// # What the server does
//
// userPassword may have several values, and a simple bind succeeds with any of them (RFC 4519, section 2.41; RFC 4513, section 5.1.3). What
// follows was seen with OpenLDAP slapd 2.5.13. Other servers that keep several values and accept hashed ones should do.
//
//   - slapd stores what it is sent. The Issuer sends values hashed ({SSHA}, RFC 2307 and its usual extension), so no
//     backup, replica or reader of the entry learns one. A value is deleted by its exact text, which the Issuer finds by comparing
//     the password with each, also with those that somebody else has hashed ({SHA}, {SHA256},
//     {SHA384}, {SHA512}, the same with a salt, or clear). Of other schemes only the ID is known.
//   - An attribute that may not be read looks like one that is not there. The Issuer asks the server for the difference, and
//     what is hidden is an error: it must not pass for an entry whose passwords are all gone.
//     Where there is no password yet, it cannot be seen whether the administrator may read them, or only search. If he may
//     not, Issue fails behind the first one.
//   - A bind with an empty password succeeds as nobody in particular (RFC 4513, section 5.1.2). A key without a value is not presented.
//   - A connection stays bound when its password is deleted, and LDAP cannot end it. Who has bound with a leaked password
//     is out when the connection ends, or the server restarts.
//   - An entry whose object class wants a password (simpleSecurityObject) refuses to lose its last one: in an emergency, issue first,
//     which is the default.
//
// # Password policies (the overlay ppolicy)
//
//   - Lockout counts refused binds of the entry, and the proof that an old password is dead is a few of them
//     (Policy.Proofs, 3 unless it is set). A locked entry refuses the new password as well. Verify
//     tells this from a refused password where the server says so (ppolicy_use_lockout), and else by pwdAccountLockedTime of the
//     entry: on a server with policies the administrator has to be able to read that, or every refusal is an error.
//     Give the entry a policy without pwdLockout, or one that allows a few more failures.
//   - pwdMustChange: after an administrator with "manage" access (or the rootdn) has set a password, the server lets the entry change it, and
//     do nothing else. Verify does not count that as accepted. Give the administrator "write" access: that does not set it off.
//   - pwdCheckQuality 2 refuses what is hashed before it comes, as the policy cannot look into it: Issue answers rotation.ErrNotIssued.
//
// # Several servers
//
// Writes go to Config.URL, which is the provider and not a replica. With Config.Replicas a key is accepted when all of the servers accept
// it, and dead when all refuse it. Servers that do not agree yet are neither. Config.Propagation says how long they may take.
//
// # Out of scope
//
// The Password Modify operation (RFC 3062) and Active Directory, whose unicodePwd has one value, and accepts the previous one for an hour
// by NTLM alone. For a server that insists on hashing passwords itself, use two entries: Issue takes back what it can
// recognise, and says so where it cannot.
//
// # How to prepare
//
// The entry has its first password. The administrator is another entry, which may write and read that attribute of it, and nothing
// else:
//
//	access to dn.exact="uid=app,ou=services,dc=example,dc=org" attrs=userPassword
//	  by dn.exact="uid=handover,ou=services,dc=example,dc=org" write
//	  by anonymous auth
//	access to dn.exact="uid=app,ou=services,dc=example,dc=org"
//	  by dn.exact="uid=handover,ou=services,dc=example,dc=org" read
//
// In slapd "write" includes reading and searching, and "=w" does not. Check names what is missing. To put the password in use under
// rotation, give what Find returns to store.Seed.
//
// # Ids
//
// A key's ID is the beginning of the SHA-256 of the stored text, 12 hexadecimal digits. The directory keeps neither names nor times of
// values, nor does it tell when one was last used.
package ldap
