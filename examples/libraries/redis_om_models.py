from aredis_om import Field, JsonModel

from redis_manager_fastapi import RedisManager


class Person(JsonModel, index=True):
    name: str = Field(index=True)
    age: int = Field(index=True)


def give_client(manager: RedisManager) -> None:
    Person.Meta.database = manager.redis
