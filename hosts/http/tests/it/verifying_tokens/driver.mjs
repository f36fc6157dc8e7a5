// Asks the verifier of docs/verifying-tokens.md about one token a line.
import { createInterface } from 'node:readline';
import { accessTokenVerifier } from './verifier.mjs';

const [jwksUrl, issuer, audience] = process.argv.slice(2);
const verify = accessTokenVerifier({ jwksUrl, issuer, audience });

for await (const line of createInterface({ input: process.stdin })) {
  if (line.startsWith('later ')) {
    const { now } = Date;
    Date.now = () => now() + Number(line.slice(6)) * 1000;
    console.log('later');
    continue;
  }
  try {
    const claims = await verify(line);
    console.log(`good: ${claims.sub}`);
  } catch (error) {
    console.log(`${error.code ?? error}: ${error.claim ?? error.message}`);
  }
}
