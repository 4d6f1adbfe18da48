// Copyright The handover Authors
// SPDX-License-Identifier: Apache-2.0

// Signs and verifies deliveries with the packages of package.json: an array of jobs comes on standard input, and their results
// go to standard output. See node_test.go.
import * as octokit from "@octokit/webhooks-methods";
import * as standardwebhooks from "standardwebhooks";
import Stripe from "stripe";
import * as svix from "svix";

const stripe = new Stripe("sk_test_unused");

// Standard Webhooks and Svix differ in the names of headers.
function standard(Webhook, prefix) {
  return {
    sign({ secrets, id, at, body }) {
      const signatures = secrets.map((secret) => new Webhook(secret).sign(id, new Date(at * 1000), body));
      return { [`${prefix}-id`]: id, [`${prefix}-timestamp`]: `${at}`, [`${prefix}-signature`]: signatures.join(" ") };
    },
    verify({ secrets, headers, body }) {
      new Webhook(secrets[0]).verify(body, headers); // throws
      return true;
    },
  };
}

const packages = {
  standardwebhooks: standard(standardwebhooks.Webhook, "webhook"),
  svix: standard(svix.Webhook, "svix"),
  stripe: {
    sign({ secrets, at, body }) {
      const headers = secrets.map((secret) =>
        stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }),
      );
      const further = headers.slice(1).map((header) => header.slice(header.indexOf("v1=")));
      return { "stripe-signature": [headers[0], ...further].join(",") };
    },
    verify({ secrets, headers, body }) {
      stripe.webhooks.constructEvent(body, headers["stripe-signature"], secrets[0]); // throws
      return true;
    },
  },
  "@octokit/webhooks-methods": {
    async sign({ secrets, body }) {
      return { "x-hub-signature-256": await octokit.sign(secrets[0], body) };
    },
    verify({ secrets, headers, body }) {
      return octokit.verifyWithFallback(secrets[0], body, headers["x-hub-signature-256"], secrets.slice(1));
    },
  },
};

async function run(job) {
  const sender = packages[job.package];
  if (job.headers === undefined) {
    return sender.sign(job);
  }
  try {
    return await sender.verify(job);
  } catch {
    return false;
  }
}

let input = "";
for await (const chunk of process.stdin.setEncoding("utf8")) {
  input += chunk;
}
const results = [];
for (const job of JSON.parse(input)) {
  results.push(await run(job));
}
process.stdout.write(JSON.stringify(results));
