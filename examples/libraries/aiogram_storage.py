from aiogram.fsm.storage.redis import RedisStorage

from redis_manager_fastapi import RedisManager


def make_storage(manager: RedisManager) -> RedisStorage:
    return RedisStorage(manager.redis)
