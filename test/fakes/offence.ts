/** What a validator of test/consensus/fixtures.ts signed that no correct one signs, as evidence and as a report of it. */
import { parsePublicKey, sign, uncompressedKey } from '../../consensus/bls.ts'
import { type Statement, statementDigest } from '../../consensus/digest.ts'
import { type Evidence, encodeEvidence } from '../../consensus/evidence.ts'
import { assert } from '../../execution/assert.ts'
import { keyWords, type Validator } from '../../execution/ledger/validators.ts'
import { encodeReport, reportOf } from '../../execution/report.ts'
import { type ReportTx, reportTx } from '../../execution/tx.ts'
import { blockHash, secretKey, validator } from '../consensus/fixtures.ts'

/** Where an offence is, and whose it is. */
export type Offence = {
  /** Whose key signs: an index of the fixtures. */
  readonly key: number
  /** Its index in the set of the height, if that is another. */
  readonly validator?: number
  readonly height: number
  readonly epoch: number
  readonly chainId: number
  readonly kind?: Evidence['kind']
}

/** Validator `index` of the fixtures as the ledger has it, of weight 1. */
export function memberOf(index: number): Validator {
  const { address, feeRecipient, publicKey, weight } = validator(index, 1n)
  const key = parsePublicKey(publicKey)
  assert(key, 'a key of ours is none')
  return { validator: address, feeRecipient, weight, ...keyWords(uncompressedKey(key)) }
}

/** A statement with the signature of a validator's real key. */
export function signedBy({ key, height, epoch, chainId }: Offence, statement: Omit<Statement, 'height'>): Evidence['first'] {
  return { ...statement, signature: sign(secretKey(key), statementDigest({ chainId, epoch }, { ...statement, height })) }
}

/** Two precommits of one round, or a precommit and a prevote that forgot it. */
export function offenceOf(offence: Offence): Evidence {
  const { kind = 'doubleVote', validator = offence.key, height } = offence
  const first = signedBy(offence, { kind: 'precommit', round: 1, validRound: -1, blockHash: blockHash(1) })
  const isDouble = kind === 'doubleVote'
  const other = isDouble ? ({ kind: 'precommit', round: 1 } as const) : ({ kind: 'prevote', round: 2 } as const)
  const second = signedBy(offence, { ...other, validRound: -1, blockHash: blockHash(2) })
  return { kind, validator, height, first, second }
}

/** The report of evidence, as a transaction. */
export function reportOfEvidence(evidence: Evidence): ReportTx {
  const report = reportOf(encodeEvidence(evidence))
  return reportTx(encodeReport(report), report)
}
