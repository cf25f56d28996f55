/**
 * What becomes of a validator's offence: the node that found it brings it to L1, the registry slashes, and the rollup hears of it in a block. The evidence
 * is real, two precommits with a devnet's own key; it is laid where a machine that saw both would have laid it.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Hex, toHex } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sign } from '../../consensus/bls.ts'
import { type Statement, statementDigest } from '../../consensus/digest.ts'
import type { Evidence } from '../../consensus/evidence.ts'
import { decodeGenesis, type Genesis } from '../../genesis/genesis.ts'
import { VALIDATORS } from '../../genesis/params.ts'
import { openEvidenceStore } from '../../node/evidenceStore.ts'
import { loadValidatorKey } from '../../node/keys.ts'
import { validatorRegistryAbi } from '../../settlement/abi.ts'
import { type Devnet, startDevnet } from './devnet.ts'
import { ask, type RuledL1, startL1, until } from './stage.ts'

const WAIT_MS = 60_000
const folder = mkdtempSync(join(tmpdir(), 'tributary-evidence-e2e-'))
let l1: RuledL1
let devnet: Devnet

beforeAll(async () => {
  l1 = await startL1()
  devnet = await startDevnet(['--l1', l1.url, '--da', 'calldata', '--batch-sec', '1'])
  await l1.mineEvery(1)
})
afterAll(async () => {
  await devnet?.close()
  await l1?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Two precommits of one slot, signed with the key in this folder. */
function offence(dataDir: string, { params }: Genesis): Evidence {
  const { secret } = loadValidatorKey(dataDir, { create: false })
  const precommit = (block: number) => {
    const statement: Statement = { kind: 'precommit', height: 1, round: 9, validRound: -1, blockHash: toHex(block, { size: 32 }) }
    const { height: _, ...part } = statement
    return { ...part, signature: sign(secret, statementDigest({ chainId: params.chainId, epoch: 0 }, statement)) }
  }
  return { kind: 'doubleVote', validator: 0, height: 1, first: precommit(1), second: precommit(2) }
}

test('evidence in a node leads to a slash on L1, and to a block that says so', async () => {
  const { dataDir } = devnet.ready()
  await devnet.stop()
  const genesis = decodeGenesis(readFileSync(join(dataDir, 'genesis.json'), 'utf8'))
  const directory = join(dataDir, 'evidence')
  openEvidenceStore(directory, { onDamaged: (file) => expect.unreachable(file) }).add(offence(dataDir, genesis), 0)
  const { rpc } = await devnet.start()

  const slashed = await until(
    'the registry slashes',
    async () => {
      const address = genesis.l1.validatorRegistry
      const events = await l1.client.getContractEvents({ address, abi: validatorRegistryAbi, eventName: 'ValidatorSlashed', fromBlock: 0n })
      return events[0]?.args
    },
    WAIT_MS,
  )
  const offender = genesis.validators[0]?.address
  expect(String(slashed.validator).toLowerCase()).toBe(offender)
  expect(slashed.height).toBe(1n)
  await until('it is kept as taken', () => (existsSync(join(directory, '0-0.taken')) ? true : undefined), WAIT_MS)

  type L2Block = { readonly transactions: readonly { readonly to: Hex | null; readonly type: Hex }[] }
  let next = 1
  const told = await until(
    'a block says it',
    async () => {
      const { result } = await ask(rpc, 'eth_getBlockByNumber', [`0x${next.toString(16)}`, true])
      if (!result) return undefined
      next++
      return (result as L2Block).transactions.find(({ to }) => to === VALIDATORS)
    },
    WAIT_MS,
  )
  expect(told.type).toBe('0x7e')
})
