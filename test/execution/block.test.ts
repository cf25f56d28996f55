import { type Hex, hexToBytes, parseEther } from 'viem'
import { expect, test } from 'vitest'
import { decodeBlock, encodeBlock } from '../../execution/block.ts'
import { getAccount, getSupply } from '../../execution/ledger/tables.ts'
import { transfer } from '../../execution/native/transfer.ts'
import { addressOf, createTestChain, signNative, testAccounts } from '../fakes/testChain.ts'

const [alice, bob] = testAccounts as [(typeof testAccounts)[number], (typeof testAccounts)[number]]

test('a block of both lanes: what one state builds, another applies to the same roots', async () => {
  const chain = await createTestChain()
  const chainId = chain.genesis.params.chainId
  const move = await alice.signTransaction({
    chainId,
    nonce: 0,
    to: bob.address,
    value: parseEther('5'),
    gas: 21_000n,
    maxFeePerGas: 10n ** 10n,
    maxPriorityFeePerGas: 10n ** 9n,
    type: 'eip1559',
  })
  const native = await signNative(alice, {
    type: transfer,
    fields: { kind: 0, to: addressOf(bob), amount: parseEther('7') },
    nonce: 0n,
    chainId,
  })
  const exit = await signNative(alice, {
    type: transfer,
    fields: { kind: 1, to: addressOf(bob), amount: parseEther('11') },
    nonce: 1n,
    chainId,
  })
  const built = await chain.next([chain.decode(move), chain.decode(native), chain.decode(exit)])
  expect(built.rejected).toEqual([])
  expect(built.receipts.map(({ succeeded }) => succeeded)).toEqual([true, true, true])
  const { state } = chain.executor
  expect(state.account(addressOf(bob)).balance).toBe(parseEther('1000016'))
  expect(getAccount(state.ledger, addressOf(bob)).balance).toBe(parseEther('1000007'))
  expect(getSupply(state.ledger).evmSupply).toBe(parseEther('8000011'))
  expect(decodeBlock(encodeBlock(built.block))).toEqual(built.block)
})

test('a contract is deployed and called', async () => {
  const chain = await createTestChain()
  const chainId = chain.genesis.params.chainId
  const initCode: Hex = '0x6005600c60003960056000f3602a60005500' // runtime: sstore(0, 42); stop
  const fees = { maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n, type: 'eip1559' } as const
  const deploy = await alice.signTransaction({ chainId, nonce: 0, data: initCode, gas: 200_000n, ...fees })
  const one = await chain.next([chain.decode(deploy)])
  const address = one.receipts[0]?.contractAddress
  expect(address).toBeDefined()
  if (!address) return
  const call = await alice.signTransaction({ chainId, nonce: 1, to: address, gas: 100_000n, ...fees })
  const two = await chain.next([chain.decode(call)])
  expect(two.receipts[0]?.succeeded).toBe(true)
  expect(chain.executor.state.slot(address, `0x${'00'.repeat(32)}`)).toEqual(hexToBytes('0x2a'))
})
