/**
 * Four validators as four processes sign the checkpoints that each derived from L1: they go on with one of them down, whichever it is, and one that comes
 * back signs again. Spec: docs/spec/settlement.md#who-signs
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { decodeFunctionData, hexToNumber } from 'viem'
import { generatePrivateKey } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeGenesis } from '../../genesis/genesis.ts'
import { validatorSetOf } from '../../node/epochs.ts'
import { loadValidatorKey } from '../../node/keys.ts'
import { checkpointManagerAbi } from '../../settlement/abi.ts'
import { startAgain, startFollower } from './devnet.ts'
import { type Stage, startStage, until } from './stage.ts'

/** Longest that two checkpoints may take, on a machine that is busy with four nodes. */
const WAIT_MAX_MS = 120_000

let stage: Stage
const restarted: { stop(): Promise<number | null> }[] = []

beforeAll(async () => {
  stage = await startStage(['--validators', '4', '--metrics-port', '0'])
}, 240_000)

afterAll(async () => {
  for (const one of restarted) await one.stop()
  await stage?.close()
})

const member = (index: number) => {
  const one = stage.devnet.ready().validators[index - 1]
  if (!one) throw new Error(`there is no validator ${index}`)
  return one
}

/** Who signed each checkpoint on L1, as bits, in order. */
async function signers(): Promise<number[]> {
  const { client } = stage.l1
  const address = stage.devnet.ready().contracts.checkpointManager
  const events = await client.getContractEvents({ address, abi: checkpointManagerAbi, eventName: 'CheckpointSubmitted', fromBlock: 0n })
  return Promise.all(
    events.map(async ({ transactionHash }) => {
      const { input } = await client.getTransaction({ hash: transactionHash })
      const call = decodeFunctionData({ abi: checkpointManagerAbi, data: input })
      if (call.functionName !== 'submit') throw new Error('a checkpoint was submitted without signatures')
      return hexToNumber(call.args[1].bitmap)
    }),
  )
}

/** Who signed the second checkpoint from now on: what was under way is over then. */
async function next(): Promise<number> {
  const from = (await signers()).length
  const after = await until('two more checkpoints', async () => ((await signers()).length > from + 1 ? signers() : undefined), WAIT_MAX_MS)
  return after.at(-1) ?? 0
}

/** The bit of a validator: its place in the genesis file's set. */
function bitOf(index: number): number {
  const { dataDir } = stage.devnet.ready()
  const set = validatorSetOf(decodeGenesis(readFileSync(join(dataDir, 'genesis.json'), 'utf8')))
  const { publicKey } = loadValidatorKey(member(index).dataDir, { create: false })
  return 1 << set.validators.findIndex((one) => one.publicKey === publicKey)
}

test('a node that is no validator is told of the quorum’s signatures, and judges their checkpoints on its own chain', async () => {
  const keyFile = join(stage.devnet.ready().dataDir, 'challenger.key')
  writeFileSync(keyFile, generatePrivateKey(), { mode: 0o600 })
  const follower = await startFollower(stage.devnet.ready(), ['--metrics-port', '0', '--challenger-key', keyFile])
  try {
    const { metrics = '' } = follower.ready()
    const isJudged = (page: string) => /challenger_checkpoints\{what="open"\} [1-9]/.test(page) && /_looked_timestamp_seconds \d/.test(page)
    const judged = await until(
      'a look at what is open',
      async () => {
        const page = await (await fetch(metrics)).text()
        return isJudged(page) ? page : undefined
      },
      WAIT_MAX_MS,
    )
    expect(judged).toContain('tributary_challenger_checkpoints{what="wrong"} 0')
    const isTold = async () => (/\{what="told"\} [1-9]/.test(await (await fetch(metrics)).text()) ? true : undefined)
    await until('signers by gossip', isTold, WAIT_MAX_MS)
  } finally {
    await follower.close()
  }
})

test('a quorum is enough, and it is another one when another is down', async () => {
  process.kill(member(1).pid, 'SIGKILL')
  expect(await next()).toBe(0b1111 ^ bitOf(1))
  restarted.push(await startAgain(member(1).args))
  process.kill(member(2).pid, 'SIGKILL')
  expect(await next()).toBe(0b1111 ^ bitOf(2))

  const page = await (await fetch(stage.devnet.ready().metrics ?? '')).text()
  expect(page).toMatch(/^tributary_checkpoint_signatures_total\{what="certified"\} [1-9]/m)
  expect(page).toMatch(/^tributary_checkpoint_signatures_total\{what="bad"\} 0$/m)
})
