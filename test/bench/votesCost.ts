/**
 * What the votes of one block cost a validator of a large set, in CPU: its two signatures, the votes of all others from the wire through admission,
 * batch verification and the machine, and the certificates it sums up. Messages are simulated, signatures and their verification are real (BLS).
 */

import { toHex } from 'viem'
import { admit } from '../../consensus/admit.ts'
import { aggregateSignatures, deriveSecretKey, publicKeyOf, sign } from '../../consensus/bls.ts'
import { statementDigest } from '../../consensus/digest.ts'
import type { Effect } from '../../consensus/effect.ts'
import type { Input } from '../../consensus/input.ts'
import { step } from '../../consensus/machine.ts'
import { decodeMessage, encodeMessage, type Message, type Proposal, type UnsignedMessage, type Vote } from '../../consensus/message.ts'
import { idleState, type State } from '../../consensus/state.ts'
import { DEFAULT_TIMING } from '../../consensus/timing.ts'
import { createValidatorSet, proposerIndex, type ValidatorSet } from '../../consensus/validatorSet.ts'
import { verifyMessage, verifyVotes } from '../../consensus/verify.ts'
import { assert } from '../../execution/assert.ts'

/** CPU of all threads for the votes of one block, in milliseconds, and where it goes. */
export type VotesCost = {
  readonly validators: number
  readonly cpuMsPerBlock: number
  /** Signing its prevote and precommit. */
  readonly signMs: number
  /** Reading messages and looking at them before any signature is checked. */
  readonly admitMs: number
  /** Verifying the proposal, and the votes in batches. */
  readonly verifyMs: number
  /** The machine: counting votes and summing certificates. */
  readonly machineMs: number
  /** Votes of a batch, and votes that were verified: those that come when the height is decided cost nothing more. */
  readonly batchVotes: number
  readonly votesVerified: number
  /** Bytes of votes that came in. */
  readonly voteBytes: number
}

const CHAIN_ID = 7_001
const CLOCK_MS = 1_000
const BLOCK_HASH = toHex(0xb10c, { size: 32 })
type Part = 'sign' | 'admit' | 'verify' | 'machine'

/**
 * Takes a validator of a set of `validators` equals through `blocks` heights. Votes come in batches of `batchVotes`: what gathers in the 5–10 ms that a node
 * waits for more.
 */
export function measureVotes(validators: number, { blocks = 10, batchVotes = 32 } = {}): VotesCost {
  const keys = Array.from({ length: validators }, (_, i) => deriveSecretKey(new Uint8Array(32).fill(7).fill(i + 1, 0, 2)))
  const set = setOf(keys.map(publicKeyOf))
  const spent: Record<Part, number> = { sign: 0, admit: 0, verify: 0, machine: 0 }
  let [votesVerified, voteBytes] = [0, 0]

  function timed<T>(part: Part, work: () => T): T {
    const from = process.cpuUsage()
    const result = work()
    const { user, system } = process.cpuUsage(from)
    spent[part] += (user + system) / 1_000
    return result
  }

  const signedBy = (index: number, message: UnsignedMessage): Message => {
    const key = keys[index]
    assert(key)
    return { ...message, signature: sign(key, statementDigest({ chainId: CHAIN_ID, epoch: set.epoch }, message)) }
  }

  /** One height at the first validator that does not propose it; the others all vote for its block. */
  function runHeight(height: number, idle: State): State {
    const proposer = proposerIndex(set, height, 0)
    const self = proposer === 0 ? 1 : 0
    const publicKey = set.validators[self]?.publicKey
    let state: State = { ...idle, context: { ...idle.context, publicKey } }
    const take = (input: Input): void => {
      const stepped = timed('machine', () => step(state, input))
      state = stepped.state
      for (const effect of stepped.effects) perform(effect)
    }
    const perform = (effect: Effect): void => {
      if (effect.kind === 'sign') {
        const { message } = effect
        take({ kind: 'message', message: timed('sign', () => signedBy(self, message)), receivedMs: CLOCK_MS })
      }
      if (effect.kind === 'checkBlock') take({ kind: 'blockChecked', height, blockHash: BLOCK_HASH, valid: true, timestampMs: CLOCK_MS })
    }
    const others = (kind: Vote['kind']): Uint8Array[] =>
      [...keys.keys()]
        .filter((index) => index !== self)
        .map((validator) =>
          encodeMessage(signedBy(validator, { kind, height, round: 0, blockHash: BLOCK_HASH, validRound: -1, validator })),
        )
    take({ kind: 'startHeight', height, set, votes: true })
    const fresh = { kind: 'proposal', height, round: 0, blockHash: BLOCK_HASH, validRound: -1, polka: undefined } as const
    const proposal = encodeMessage(signedBy(proposer, fresh))
    receive([proposal])
    for (const votes of [others('prevote'), others('precommit')])
      for (let at = 0; at < votes.length; at += batchVotes) receive(votes.slice(at, at + batchVotes))
    assert(state.step === 'decided', 'the height is not decided')
    return state

    function receive(wire: readonly Uint8Array[]): void {
      const admitted = timed('admit', () => wire.flatMap((bytes) => admittedOf(state, bytes)))
      const votes = admitted.filter((message): message is Vote => message.kind !== 'proposal')
      const proposals = admitted.filter((message): message is Proposal => message.kind === 'proposal')
      voteBytes += votes.length === 0 ? 0 : wire.reduce((sum, bytes) => sum + bytes.length, 0)
      votesVerified += votes.length
      const verdicts = timed('verify', () => [
        ...proposals.map((one) => verifyMessage(set, one, CHAIN_ID).ok),
        ...verifyVotes(set, votes, CHAIN_ID),
      ])
      assert(verdicts.every((good) => good))
      for (const message of [...proposals, ...votes]) take({ kind: 'message', message, receivedMs: CLOCK_MS })
    }
  }

  let state = idleState({ publicKey: undefined, timing: DEFAULT_TIMING, aggregate: aggregateSignatures }, set, 0)
  state = runHeight(1, state) // warms up
  for (const part of Object.keys(spent) as Part[]) spent[part] = 0
  ;[votesVerified, voteBytes] = [0, 0]
  for (let height = 2; height < blocks + 2; height++) state = runHeight(height, state)
  const perBlock = (sum: number) => sum / blocks
  return {
    validators,
    cpuMsPerBlock: perBlock(spent.sign + spent.admit + spent.verify + spent.machine),
    signMs: perBlock(spent.sign),
    admitMs: perBlock(spent.admit),
    verifyMs: perBlock(spent.verify),
    machineMs: perBlock(spent.machine),
    batchVotes,
    votesVerified: perBlock(votesVerified),
    voteBytes: perBlock(voteBytes),
  }
}

function admittedOf(state: State, bytes: Uint8Array): (Proposal | Vote)[] {
  const decoded = decodeMessage(bytes)
  if (!decoded.ok || !admit(state, decoded.value).ok) return []
  const { value } = decoded
  return value.kind === 'proposal' || value.kind === 'prevote' || value.kind === 'precommit' ? [value] : []
}

function setOf(publicKeys: readonly `0x${string}`[]): ValidatorSet {
  const created = createValidatorSet(
    0,
    publicKeys.map((publicKey, i) => {
      const address = toHex(0xa000 + i, { size: 20 })
      return { address, publicKey, weight: 1n, feeRecipient: address }
    }),
  )
  assert(created.ok)
  return created.set
}
