/** Evidence for third parties: made by those who were there, judged by anybody (docs/evidence.md). */
export { accountable, type AccountableOptions } from './accountable.ts';
export { buildEvidence, buildStatementEvidence, type SessionFacts } from './build.ts';
export { MAX_EVIDENCE_BYTES, type EvidenceFile } from './format.ts';
export { readEvidence, verifyEvidence, type Accusation, type Verdict, type VerifyOptions } from './verify.ts';
