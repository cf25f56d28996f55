/** A vote's change rules from the next block on, in blocks built, applied and re-executed from rows. Spec: docs/spec/ledger.md#parameters */
import { encodeFunctionData, type Hex } from 'viem'
import { expect, test } from 'vitest'
import { judgeEvidence } from '../../consensus/evidence.ts'
import { encodeDeposit } from '../../execution/deposit.ts'
import { paramsAt } from '../../execution/ledger/governed.ts'
import { getL1Info, workers } from '../../execution/ledger/tables.ts'
import { paramsDoorAbi } from '../../execution/native/doorAbi.ts'
import { codeBytes32 } from '../../execution/native/nativeType.ts'
import { workerRegister } from '../../execution/native/workerRegister.ts'
import { DOOR, GOVERNOR } from '../../genesis/params.ts'
import { PRECOMPILES } from '../../precompiles/precompiles.ts'
import { executeLane, groupsOf, laneRows, lookupsOf } from '../../settlement/lane.ts'
import { addressOf, createTestChain, signNative, type TestChain, testAccounts } from '../fakes/testChain.ts'

const STRANGER: Hex = `0x${'5a'.repeat(20)}`

/** An origin whose deposits are calls of setParam. */
function votes(chain: TestChain, calls: readonly { readonly from: Hex; readonly name: string; readonly value: bigint }[]) {
  const before = getL1Info(chain.executor.state.ledger)
  const number = before.number + 1n
  return {
    info: {
      ...before,
      number,
      hash: `0x${number.toString(16).padStart(64, '0')}` as Hex,
      depositCursor: before.depositCursor + BigInt(calls.length),
    },
    deposits: calls.map(({ from, name, value }) => ({
      sourceHash: `0x${'50'.repeat(32)}` as Hex,
      from,
      to: DOOR.params,
      mintWei: 0n,
      valueWei: 0n,
      gas: 200_000n,
      isSystem: false,
      data: encodeFunctionData({ abi: paramsDoorAbi, functionName: 'setParam', args: [codeBytes32(name), value] }),
    })),
  }
}

async function register(chain: TestChain, account: (typeof testAccounts)[number] | undefined, stake: bigint, nonce = 0n) {
  if (!account) throw new Error('no such account')
  const fields = { action: 0, hotKey: STRANGER, runtimeProfileHash: `0x${'07'.repeat(32)}`, stake, endpoint: 'x' }
  return chain.decode(await signNative(account, { type: workerRegister, fields, nonce, chainId: chain.genesis.params.chainId }))
}

test('the block of the change is ruled by what was before it, the next one by the change: header, rules and rows', async () => {
  const chain = await createTestChain({ precompiles: PRECOMPILES })
  const { params } = chain.genesis
  const [alice, bob] = testAccounts
  const rootBefore = chain.executor.state.roots().ledgerRoot
  const changed = await chain.next([await register(chain, alice, params.workerStakeMinWei)], {
    origin: votes(chain, [
      { from: GOVERNOR, name: 'workerStakeMinWei', value: 2n * params.workerStakeMinWei },
      { from: GOVERNOR, name: 'blockGasLimit', value: 2n * params.blockGasLimit },
    ]),
  })
  expect(changed.receipts.map(({ succeeded }) => succeeded)).toEqual([true, true, true, true])
  expect(changed.block.header.gasLimit).toBe(params.blockGasLimit)
  const next = await chain.next([
    await register(chain, bob, params.workerStakeMinWei),
    await register(chain, bob, 2n * params.workerStakeMinWei, 1n),
  ])
  expect(next.receipts.map(({ succeeded, failureCode }) => [succeeded, failureCode])).toEqual([
    [false, 'stakeTooLow'],
    [true, undefined],
  ])
  expect(next.block.header.gasLimit).toBe(2n * params.blockGasLimit)
  expect(alice && workers.get(chain.executor.state.ledger, { worker: addressOf(alice) })?.stake).toBe(params.workerStakeMinWei)

  const blocks = [changed, next].map(({ block, transactions, operations }) => ({ header: block.header, transactions, operations }))
  const lookups = lookupsOf(blocks)
  const source = chain.store.reader
  const executed = executeLane({ root: rootBefore, source, params, judgeEvidence, lookups }, groupsOf(laneRows(blocks)))
  expect(executed.ok && executed.roots.at(-1)).toBe(next.roots.ledgerRoot)
  // Whoever starts behind the change, in its block, has but the ledger to say what rules there.
  const rows = laneRows(blocks.slice(0, 1))
  const firstNative = rows.findIndex(({ row }) => row.kind === 'native')
  const [ruling] = rows
  const head = executeLane({ root: rootBefore, source, params, judgeEvidence, lookups }, [rows.slice(0, firstNative)])
  expect(ruling?.row.kind === 'block' && head.ok).toBe(true)
})

test('nobody but the governor changes anything, by a call or through the EVM', async () => {
  const chain = await createTestChain({ precompiles: PRECOMPILES })
  const [alice] = testAccounts
  const from = alice ? addressOf(alice) : '0x'
  const before = chain.genesis.params
  const origin = votes(
    chain,
    [from, STRANGER, DOOR.params].map((sender) => ({ from: sender, name: 'protocolBps', value: 1n })),
  )
  const built = await chain.next([], { origin })
  expect(built.receipts.slice(1).map(({ succeeded }) => succeeded)).toEqual([false, false, false])
  expect(built.operations).toEqual([])
  expect(paramsAt(before, chain.executor.state.ledger, 2n)).toEqual(before)
  const [vote] = votes(chain, [{ from: GOVERNOR, name: 'protocolBps', value: 1n }]).deposits
  expect(() => chain.decode(Uint8Array.from([0x59, 0xc0]))).toThrow('unknownType')
  expect(vote && encodeDeposit(vote)[0]).toBe(0x7e)
})
